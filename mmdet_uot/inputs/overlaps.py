"""IoU, GIoU and IoF of all pairs of boxes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ['pairwise_overlaps']

# Least area that is divided by, as in mmdet's bbox_overlaps.
_LEAST = 1e-6


def pairwise_overlaps(
    boxes1: Tensor, boxes2: Tensor, mode: str = 'iou'
) -> Tensor:
    """What mmdet's ``bbox_overlaps`` computes, for all pairs.

    That one copies a number to the device, for which the host waits, and
    needs several times the memory.

    Args:
        boxes1 (Tensor): (..., K, 4) boxes, xyxy.
        boxes2 (Tensor): (..., L, 4) boxes, xyxy.
        mode (str): ``'iou'``, ``'giou'``, or ``'iof'``, the intersection over
            the area of the first box. Defaults to ``'iou'``.

    Returns:
        Tensor: (..., K, L).
    """
    first, second = boxes1.unsqueeze(-2), boxes2.unsqueeze(-3)
    overlap = _area(torch.maximum, torch.minimum, first, second)
    area1 = (first[..., 2:] - first[..., :2]).prod(-1)
    if mode == 'iof':
        return overlap.div_(area1.clamp(min=_LEAST))
    area2 = (second[..., 2:] - second[..., :2]).prod(-1)
    union = (area1 + area2).sub_(overlap).clamp_(min=_LEAST)
    iou = overlap.div_(union)
    if mode == 'iou':
        return iou
    hull = _area(torch.minimum, torch.maximum, first, second)
    hull.clamp_(min=_LEAST)
    return iou.sub_(union.sub_(hull).neg_().div_(hull))


def _area(
    low: Callable[[Tensor, Tensor], Tensor],
    high: Callable[[Tensor, Tensor], Tensor],
    first: Tensor,
    second: Tensor,
) -> Tensor:
    """Between two corners of each pair, 0 where they are the wrong way."""
    width, height = (
        high(first[..., axis + 2], second[..., axis + 2])
        .sub_(low(first[..., axis], second[..., axis]))
        .clamp_(min=0)
        for axis in (0, 1)
    )
    return width.mul_(height)
