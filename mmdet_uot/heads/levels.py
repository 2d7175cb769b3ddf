"""Outputs of a feature pyramid, flattened over its levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads import AnchorHead
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

from ..inputs.bad_numbers import is_good
from ..losses.rows import rows_of
from ..ot import WeightedPairs

__all__ = ['boxes_of_pairs', 'flatten_levels', 'sum_levels']


def flatten_levels(levels: Sequence[Tensor], channels: int) -> Tensor:
    """Per level (B, anchors * channels, H, W) to (B, N, channels)."""
    return torch.cat(
        [
            level.permute(0, 2, 3, 1).reshape(len(level), -1, channels)
            for level in levels
        ],
        dim=1,
    )


def sum_levels(values: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """Sums of (B, N) values over the images, per level.

    Args:
        values (Tensor): (B, N), the levels one after the other.
        counts (Sequence[int]): Predictions per level.

    Returns:
        list[Tensor]: Scalars.
    """
    return [part.sum() for part in values.split(list(counts), dim=1)]


def boxes_of_pairs(
    head: AnchorHead,
    pairs: WeightedPairs,
    deltas: Tensor,
    anchors: Tensor,
    gt_boxes: Tensor,
) -> tuple[Tensor, Tensor]:
    """Predicted and target boxes of K pairs, as the head regresses them.

    Args:
        head (AnchorHead): With ``bbox_coder`` and ``reg_decoded_bbox``.
        pairs (WeightedPairs): The K pairs.
        deltas (Tensor): (B, N, 4) encoded predictions.
        anchors (Tensor): (N, 4) boxes, xyxy in pixels.
        gt_boxes (Tensor): (B, M, 4) boxes, xyxy in pixels.

    Returns:
        tuple[Tensor, Tensor]: (K, 4) each, boxes if ``reg_decoded_bbox``,
        else their encoding.
    """
    pred = rows_of(deltas, pairs.image, pairs.prediction)
    prior = anchors[pairs.prediction]
    target = gt_boxes[pairs.image, pairs.ground_truth]
    if head.reg_decoded_bbox:
        pred = get_box_tensor(head.bbox_coder.decode(prior, pred))
    else:
        target = head.bbox_coder.encode(prior, target)
    # What cannot be regressed to is not: stock assigners match any box,
    # and a side of length zero has no logarithm.
    return pred, torch.where(is_good(target), target, pred.detach())
