"""Match costs for a whole batch at once.

mmdet's match costs take one image. The ones listed here are computed for all
images (and layers) together; any other registered cost is called image by
image. To add one, write a function below and decorate it with ``@_batches``
and the cost's class; what it returns is its own tensor and may be overwritten.
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
from ..inputs.overlaps import pairwise_overlaps
from .compiled import add_native_cost
from .paper_costs import OneMinusIoUCost, OneMinusProbCost
from .wasserstein_cost import GaussianWassersteinCost

__all__ = ['add_cost', 'batched_cost']

_BatchedCost = Callable[[BaseMatchCost, MatchBatch], Tensor]
# On the CPU, so that intermediates stay in the cache.
_OVERLAPS_AT_ONCE = 2**18
_BATCHED: dict[type[BaseMatchCost], _BatchedCost] = {}


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
    implementation = _BATCHED.get(type(cost), _image_by_image)
    if getattr(cost, 'binary_input', False):
        implementation = _image_by_image
    return implementation(cost, batch)


def _batches(*classes: type[BaseMatchCost]) -> Callable:
    def register(function: _BatchedCost) -> _BatchedCost:
        _BATCHED.update(dict.fromkeys(classes, function))
        return function

    return register


def _image_by_image(cost: BaseMatchCost, batch: MatchBatch) -> Tensor:
    B, N, M = len(batch.preds), max(batch.num_preds), max(batch.num_gts)
    padded = torch.zeros((B, M, N), device=batch.device)
    for image, (pred, gt, meta) in enumerate(
        zip(batch.preds, batch.gts, batch.metas, strict=True)
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


@_batches(OneMinusIoUCost)
def _one_minus_iou(cost: OneMinusIoUCost, batch: MatchBatch) -> Tensor:
    return _overlaps(cost, batch).sub_(1).mul_(-cost.weight)


@_batches(IoUCost)
def _iou(cost: IoUCost, batch: MatchBatch) -> Tensor:
    return _overlaps(cost, batch).mul_(-cost.weight)


def _overlaps(cost: OneMinusIoUCost | IoUCost, batch: MatchBatch) -> Tensor:
    boxes, gt_boxes = batch.boxes, batch.gt_boxes
    shape = (len(boxes), gt_boxes.shape[1], boxes.shape[1])
    overlaps = boxes.new_empty(shape)
    step = max(_OVERLAPS_AT_ONCE // max(shape[1] * shape[2], 1), 1)
    if boxes.device.type != 'cpu':
        step = max(shape[0], 1)
    for start in range(0, len(boxes), step):
        part = slice(start, start + step)
        overlaps[part] = pairwise_overlaps(
            gt_boxes[part], boxes[part], cost.iou_mode
        )
    return overlaps


@_batches(BBoxL1Cost)
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


@_batches(GaussianWassersteinCost)
def _wasserstein(cost: GaussianWassersteinCost, batch: MatchBatch) -> Tensor:
    return cost.of_boxes(batch.gt_boxes, batch.boxes)


@_batches(ClassificationCost)
def _classification(cost: ClassificationCost, batch: MatchBatch) -> Tensor:
    return -cost.weight * _of_label(batch.scores.softmax(-1), batch)


@_batches(OneMinusProbCost)
def _one_minus_prob(cost: OneMinusProbCost, batch: MatchBatch) -> Tensor:
    probabilities = cost.probabilities(batch.scores)
    return cost.weight * (1 - _of_label(probabilities, batch))


@_batches(FocalLossCost)
def _focal(cost: FocalLossCost, batch: MatchBatch) -> Tensor:
    p = batch.scores.sigmoid()
    positive = -(p + cost.eps).log() * cost.alpha * (1 - p).pow(cost.gamma)
    negative = -(1 - p + cost.eps).log() * (1 - cost.alpha) * p.pow(cost.gamma)
    return cost.weight * _of_label(positive - negative, batch)


def _of_label(per_class: Tensor, batch: MatchBatch) -> Tensor:
    """(B, N, C) to (B, M, N): the class of each ground truth."""
    index = batch.gt_labels.unsqueeze(2).expand(-1, -1, per_class.shape[1])
    return per_class.mT.gather(1, index)
