"""What several costs are made of, for all pairs of a batch."""

from __future__ import annotations

from torch import Tensor

from ..inputs.match_batch import MatchBatch
from ..inputs.overlaps import pairwise_overlaps

__all__ = ['of_labels', 'overlaps']

# On the CPU, so that intermediates stay in the cache.
_OVERLAPS_AT_ONCE = 2**18


def overlaps(batch: MatchBatch, mode: str) -> Tensor:
    """(B, M, N) overlaps, see :func:`pairwise_overlaps`."""
    boxes, gt_boxes = batch.boxes, batch.gt_boxes
    shape = (len(boxes), gt_boxes.shape[1], boxes.shape[1])
    result = boxes.new_empty(shape)
    step = max(_OVERLAPS_AT_ONCE // max(shape[1] * shape[2], 1), 1)
    if boxes.device.type != 'cpu':
        step = max(shape[0], 1)
    for start in range(0, len(boxes), step):
        part = slice(start, start + step)
        result[part] = pairwise_overlaps(gt_boxes[part], boxes[part], mode)
    return result


def of_labels(per_class: Tensor, batch: MatchBatch) -> Tensor:
    """(B, N, C) to (B, M, N): the class of each ground truth."""
    index = batch.gt_labels.unsqueeze(2).expand(-1, -1, per_class.shape[1])
    return per_class.mT.gather(1, index)
