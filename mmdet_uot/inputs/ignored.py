"""Predictions that lie in ignored or crowd boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from .instances import fields
from .match_batch import MatchBatch
from .overlaps import pairwise_overlaps

__all__ = ['lies_in_ignored']


def lies_in_ignored(
    batch: MatchBatch,
    batch_ignore: Sequence[InstanceData | None],
    iof_thr: float,
    wrt_candidates: bool,
) -> Tensor:
    """Tells which predictions lie in ignored boxes, as MaxIoUAssigner does.

    Args:
        batch (MatchBatch): B images with boxes.
        batch_ignore (Sequence[InstanceData | None]): Per image, ``bboxes``
            (k, 4), or None.
        iof_thr (float): A prediction is ignored if its greatest intersection
            over foreground with an ignored box exceeds this.
        wrt_candidates (bool): Whether the foreground is the prediction
            rather than the ignored box.

    Returns:
        Tensor: (B, N) bool.
    """
    ignored = torch.zeros_like(batch.pred_valid())
    for image, ignore in enumerate(batch_ignore):
        num_preds = batch.num_preds[image]
        if ignore is None or len(ignore) == 0 or num_preds == 0:
            continue
        boxes = batch.boxes[image, :num_preds]
        (regions,) = fields(
            [ignore], 'bboxes', (4,), 'batch_gt_instances_ignore'
        )
        regions = regions.to(boxes)
        if wrt_candidates:
            share = pairwise_overlaps(boxes, regions, 'iof')
        else:
            share = pairwise_overlaps(regions, boxes, 'iof').mT
        # A box that is not finite makes a share of NaN, and ignores nothing.
        ignored[image, :num_preds] = (share > iof_thr).any(1)
    return ignored
