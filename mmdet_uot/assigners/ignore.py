"""Predictions that lie in ignored or crowd boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from .batch import MatchBatch

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
        boxes = batch.preds[image].bboxes
        if ignore is None or len(ignore) == 0 or len(boxes) == 0:
            continue
        regions = get_box_tensor(ignore.bboxes).to(boxes)
        if wrt_candidates:
            share = bbox_overlaps(boxes, regions, mode='iof').amax(1)
        else:
            share = bbox_overlaps(regions, boxes, mode='iof').amax(0)
        ignored[image, : len(boxes)] = share > iof_thr
    return ignored
