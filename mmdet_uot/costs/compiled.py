"""Match costs on the CPU, by the compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial

import torch
from mmdet.models.task_modules.assigners.match_cost import (
    BaseMatchCost,
    BBoxL1Cost,
    ClassificationCost,
    FocalLossCost,
    IoUCost,
)
from torch import Tensor

from ..inputs.bad_numbers import LARGEST
from ..inputs.match_batch import MatchBatch
from ..native import can_read, run
from .paper_costs import OneMinusIoUCost, OneMinusProbCost

__all__ = ['add_native_cost', 'scale_native']

_L1_CORNERS, _L1_CENTERS, _IOU, _GIOU = range(4)
_SOFTMAX, _SIGMOID, _FOCAL = range(3)
# With less the logarithm of 0 shows.
_LEAST_EPS = 1e-30
_OVERLAPS = {'iou': _IOU, 'giou': _GIOU}


class _Target(ctypes.Structure):
    """``target`` of ``match_costs.c``."""

    _fields_ = (
        ('num_images', ctypes.c_int64),
        ('num_preds', ctypes.c_int64),
        ('num_gts', ctypes.c_void_p),
        ('weight', ctypes.c_double),
        ('offset', ctypes.c_double),
        ('largest', ctypes.c_double),
        ('cost', ctypes.c_void_p),
        ('cost_image_stride', ctypes.c_int64),
        ('is_bad', ctypes.c_void_p),
    )


class _BoxCosts(ctypes.Structure):
    """``box_costs`` of ``match_costs.c``."""

    _fields_ = (
        ('to', _Target),
        ('kind', ctypes.c_int64),
        ('preds', ctypes.c_void_p),
        ('pred_image_stride', ctypes.c_int64),
        ('gts', ctypes.c_void_p),
        ('gt_image_stride', ctypes.c_int64),
        ('image_size', ctypes.c_void_p),
    )


class _ClassCosts(ctypes.Structure):
    """``class_costs`` of ``match_costs.c``."""

    _fields_ = (
        ('to', _Target),
        ('kind', ctypes.c_int64),
        ('scores', ctypes.c_void_p),
        ('score_image_stride', ctypes.c_int64),
        ('num_classes', ctypes.c_int64),
        ('labels', ctypes.c_void_p),
        ('label_image_stride', ctypes.c_int64),
        ('alpha', ctypes.c_double),
        ('eps', ctypes.c_double),
    )


class _Scale(ctypes.Structure):
    """``cost_scale`` of ``match_costs.c``."""

    _fields_ = (
        ('num_images', ctypes.c_int64),
        ('size', ctypes.c_int64),
        ('cost', ctypes.c_void_p),
        ('cost_image_stride', ctypes.c_int64),
        ('least', ctypes.c_double),
        ('unit', ctypes.c_double),
        ('farthest', ctypes.c_double),
    )


def scale_native(
    cost: Tensor, least: float, unit: float, farthest: float
) -> bool:
    """Brings costs to a unit and a range, (cost - least) / unit, in place.

    Args:
        cost (Tensor): (B, M, N).
        least (float): Becomes 0.
        unit (float): Becomes 1.
        farthest (float): Greatest magnitude, in units.

    Returns:
        bool: False, and nothing was done, if the library cannot.
    """
    B, M, N = cost.shape
    fits = cost.dtype == torch.float32 and cost.stride()[1:] == (N, 1)
    if not fits or not can_read(cost):
        return False
    run(
        'scale_costs',
        _Scale(
            B, M * N, cost.data_ptr(), cost.stride(0), least, unit, farthest
        ),
    )
    return True


def add_native_cost(
    cost: BaseMatchCost, batch: MatchBatch, total: Tensor
) -> Tensor | None:
    """Adds one of the known costs to others, without padding.

    Args:
        cost (BaseMatchCost): A match cost.
        batch (MatchBatch): B images.
        total (Tensor): (B, M, N) float32; is added to.

    Returns:
        Tensor | None: (B,) bool, whether a cost is bad; None if it is to be
        computed in another way.
    """
    function = _NATIVE.get(type(cost))
    fits = total.stride()[1:] == (total.shape[2], 1)
    if function is None or not fits or not can_read(total):
        return None
    return function(cost, batch, total)


def _add_overlaps(
    cost: OneMinusIoUCost | IoUCost,
    batch: MatchBatch,
    total: Tensor,
    offset: float,
) -> Tensor | None:
    kind = _OVERLAPS.get(cost.iou_mode)
    if kind is None:
        return None
    weights = (-cost.weight, offset * cost.weight)
    return _add_boxes(kind, batch, total, *weights)


def _add_l1(
    cost: BBoxL1Cost, batch: MatchBatch, total: Tensor
) -> Tensor | None:
    kind = _L1_CENTERS if cost.box_format == 'xywh' else _L1_CORNERS
    return _add_boxes(kind, batch, total, cost.weight, 0.0, batch.image_sizes)


def _add_boxes(
    kind: int,
    batch: MatchBatch,
    total: Tensor,
    weight: float,
    offset: float,
    image_sizes: Tensor | None = None,
) -> Tensor | None:
    preds, gts = _rows_contiguous(batch.boxes), batch.gt_boxes.contiguous()
    if not (_are_float32(preds, gts) and can_read(preds, gts)):
        return None
    return _add(
        'match_boxes',
        lambda to: _BoxCosts(
            to,
            kind,
            preds.data_ptr(),
            preds.stride(0),
            gts.data_ptr(),
            gts.stride(0),
            None if image_sizes is None else image_sizes.data_ptr(),
        ),
        batch,
        total,
        weight,
        offset,
    )


def _add_classes(
    kind: int,
    batch: MatchBatch,
    total: Tensor,
    weight: float,
    offset: float = 0.0,
    alpha: float = 0.0,
    eps: float = 0.0,
) -> Tensor | None:
    scores, labels = _rows_contiguous(batch.raw_scores), batch.gt_labels
    labels = labels.contiguous()
    if not (_are_float32(scores) and can_read(scores, labels)):
        return None
    return _add(
        'match_classes',
        lambda to: _ClassCosts(
            to,
            kind,
            scores.data_ptr(),
            scores.stride(0),
            scores.shape[2],
            labels.data_ptr(),
            labels.stride(0),
            alpha,
            eps,
        ),
        batch,
        total,
        weight,
        offset,
    )


def _add_one_minus_prob(
    cost: OneMinusProbCost, batch: MatchBatch, total: Tensor
) -> Tensor | None:
    cost.check(batch.raw_scores)
    kind = _SIGMOID if cost.use_sigmoid else _SOFTMAX
    weights = (-cost.weight, cost.weight)
    return _add_classes(kind, batch, total, *weights)


def _add_classification(
    cost: ClassificationCost, batch: MatchBatch, total: Tensor
) -> Tensor | None:
    return _add_classes(_SOFTMAX, batch, total, -cost.weight)


def _add_focal(
    cost: FocalLossCost, batch: MatchBatch, total: Tensor
) -> Tensor | None:
    if cost.binary_input or cost.gamma != 2 or cost.eps < _LEAST_EPS:
        return None
    numbers = dict(alpha=cost.alpha, eps=cost.eps)
    return _add_classes(_FOCAL, batch, total, cost.weight, **numbers)


_NATIVE: dict[type[BaseMatchCost], Callable[..., Tensor | None]] = {
    OneMinusIoUCost: partial(_add_overlaps, offset=1.0),
    IoUCost: partial(_add_overlaps, offset=0.0),
    BBoxL1Cost: _add_l1,
    OneMinusProbCost: _add_one_minus_prob,
    ClassificationCost: _add_classification,
    FocalLossCost: _add_focal,
}


def _add(
    name: str,
    arguments: Callable[[_Target], ctypes.Structure],
    batch: MatchBatch,
    total: Tensor,
    weight: float,
    offset: float,
) -> Tensor:
    is_bad = torch.zeros(len(total), dtype=torch.bool)
    target = _Target(
        len(total),
        total.shape[2],
        batch.gt_counts.data_ptr(),
        weight,
        offset,
        LARGEST,
        total.data_ptr(),
        total.stride(0),
        is_bad.data_ptr(),
    )
    run(name, arguments(target))
    return is_bad


def _rows_contiguous(tensor: Tensor) -> Tensor:
    """(B, N, K), contiguous but for images that may be one repeated."""
    return tensor if tensor[0].is_contiguous() else tensor.contiguous()


def _are_float32(*tensors: Tensor) -> bool:
    return all(tensor.dtype == torch.float32 for tensor in tensors)
