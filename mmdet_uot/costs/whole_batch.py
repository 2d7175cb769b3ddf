"""Match costs for a whole batch at once.

mmdet's match costs take one image. The ones listed here are computed for all
images (and layers) together, as ours are (:class:`BatchedCost`); any other
registered cost is called image by image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmdet.models.task_modules.assigners.match_cost import (
    BaseMatchCost,
    BBoxL1Cost,
    ClassificationCost,
    FocalLossCost,
    IoUCost,
)
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from torch import Tensor

from ..inputs.bad_numbers import is_good
from ..inputs.match_batch import MatchBatch
from .batched_cost import BatchedCost
from .compiled import add_native_cost
from .pairs import of_labels, overlaps

__all__ = ['add_cost', 'batched_cost']


def add_cost(
    cost: BaseMatchCost, batch: MatchBatch, gt_valid: Tensor, total: Tensor
) -> Tensor:
    """Adds a match cost to others; the padding stays as it is.

    What ground truths with a bad box get is not said.

    Args:
        cost (BaseMatchCost): Any match cost of mmdet's interface.
        batch (MatchBatch): B images, at most N predictions and M ground
            truths each.
        gt_valid (Tensor): (B, M) bool, False for padding.
        total (Tensor): (B, M, N) float32; is added to.

    Returns:
        Tensor: (B,) bool, False if no cost that was added is bad.
    """
    may_be_bad = add_native_cost(cost, batch, total)
    if may_be_bad is None:
        term = batched_cost(cost, batch)
        term = term.masked_fill_(~gt_valid.unsqueeze(2), 0.0)
        may_be_bad = ~is_good(term.sum((1, 2)))
        total += term
    return may_be_bad


def batched_cost(cost: BaseMatchCost, batch: MatchBatch) -> Tensor:
    """Computes a match cost for a batch.

    Args:
        cost (BaseMatchCost): Any match cost of mmdet's interface.
        batch (MatchBatch): B images, at most N predictions and M ground
            truths each.

    Returns:
        Tensor: (B, M, N) float32 cost; the padding holds anything finite.

    Raises:
        ValueError: If the cost of an image is not (N, M).
    """
    if type(cost).__call__ is BatchedCost.__call__:
        return cost.of_batch(batch)
    implementation = _BATCHED.get(type(cost), _image_by_image)
    if getattr(cost, 'binary_input', False):
        implementation = _image_by_image
    return implementation(cost, batch)


def _image_by_image(cost: BaseMatchCost, batch: MatchBatch) -> Tensor:
    B, N, M = len(batch.preds), max(batch.num_preds), max(batch.num_gts)
    padded = torch.zeros((B, M, N), device=batch.device)
    for image, (pred, gt, meta) in enumerate(
        zip(batch.preds, batch.gts, batch.metas)
    ):
        n, m = batch.num_preds[image], batch.num_gts[image]
        if n == 0 or m == 0:
            continue
        value = cost(pred_instances=pred, gt_instances=gt, img_meta=meta)
        if tuple(value.shape) != (n, m):
            raise ValueError(
                f'{type(cost).__name__} returned shape {tuple(value.shape)} '
                f'for {n} predictions and {m} ground truths; a match cost '
                'must return (num_preds, num_gts)'
            )
        padded[image, :m, :n] = value.mT
    return padded


def _iou(cost: IoUCost, batch: MatchBatch) -> Tensor:
    return overlaps(batch, cost.iou_mode).mul_(-cost.weight)


def _l1(cost: BBoxL1Cost, batch: MatchBatch) -> Tensor:
    pred, gt = batch.boxes, batch.gt_boxes
    if cost.box_format == 'xywh':
        pred, gt = bbox_xyxy_to_cxcywh(pred), bbox_xyxy_to_cxcywh(gt)
    pred, gt = pred / batch.image_sizes, gt / batch.image_sizes
    # A broadcast per coordinate: torch.cdist(p=1) is far slower.
    total = (gt[:, :, None, 0] - pred[:, None, :, 0]).abs_()
    for axis in range(1, 4):
        total += (gt[:, :, None, axis] - pred[:, None, :, axis]).abs_()
    return total.mul_(cost.weight)


def _classification(cost: ClassificationCost, batch: MatchBatch) -> Tensor:
    return -cost.weight * of_labels(batch.scores.softmax(-1), batch)


def _focal(cost: FocalLossCost, batch: MatchBatch) -> Tensor:
    p = batch.scores.sigmoid()
    positive = -(p + cost.eps).log() * cost.alpha * (1 - p).pow(cost.gamma)
    negative = -(1 - p + cost.eps).log() * (1 - cost.alpha) * p.pow(cost.gamma)
    return cost.weight * of_labels(positive - negative, batch)


_BATCHED: dict[type[BaseMatchCost], Callable[..., Tensor]] = {
    BBoxL1Cost: _l1,
    ClassificationCost: _classification,
    FocalLossCost: _focal,
    IoUCost: _iou,
}
