"""Predictions that are neither near a ground truth nor far from all."""

from __future__ import annotations

import torch
from torch import Tensor

from .match_batch import MatchBatch
from .native_overlaps import find_band
from .overlaps import pairwise_overlaps

__all__ = ['lies_in_band']


def lies_in_band(
    batch: MatchBatch, low: float, high: float, keep_closest: bool
) -> Tensor:
    """Tells whose greatest IoU lies in a band, as MaxIoUAssigner does.

    Args:
        batch (MatchBatch): B images with boxes.
        low (float): Least IoU of the band.
        high (float): What the IoU stays below.
        keep_closest (bool): Whether the closest prediction of a ground truth
            is told to lie outside.

    Returns:
        Tensor: (B, N) bool; what the padding holds does not matter.
    """
    found = find_band(batch, low, high, keep_closest)
    if found is not None:
        return found
    found, gt_valid = torch.zeros_like(batch.pred_valid()), batch.gt_valid()
    for image, (num_preds, num_gts) in enumerate(
        zip(batch.num_preds, batch.num_gts)
    ):
        if num_preds == 0 or num_gts == 0:
            continue
        iou = pairwise_overlaps(
            batch.boxes[image, :num_preds],
            batch.gt_boxes[image, :num_gts],
            'iou',
        )
        # Boxes that are no good overlap with nothing.
        iou = iou.nan_to_num(0.0) * gt_valid[image, :num_gts]
        greatest = iou.amax(1)
        in_band = (greatest >= low) & (greatest < high)
        if keep_closest:
            in_band[iou.argmax(0)] = False
        found[image, :num_preds] = in_band
    return found
