"""Pairs that are near each other, and infinite costs for all others."""

from __future__ import annotations

import ctypes
import math

import torch
from torch import Tensor

from ..inputs.match_batch import MatchBatch
from ..native import can_read, run

__all__ = ['exclude', 'near_points']


class _NearPoints(ctypes.Structure):
    """``near_points`` of ``candidates.c``."""

    _fields_ = (
        ('num_images', ctypes.c_int64),
        ('num_preds', ctypes.c_int64),
        ('num_rows', ctypes.c_int64),
        ('num_gts', ctypes.c_void_p),
        ('points', ctypes.c_void_p),
        ('point_image_stride', ctypes.c_int64),
        ('bounds', ctypes.c_void_p),
        ('of_any', ctypes.c_int64),
        ('is_near', ctypes.c_void_p),
    )


class _Exclusion(ctypes.Structure):
    """``exclusion`` of ``candidates.c``."""

    _fields_ = (
        ('num_images', ctypes.c_int64),
        ('num_preds', ctypes.c_int64),
        ('num_rows', ctypes.c_int64),
        ('allowed', ctypes.c_void_p),
        ('gt_valid', ctypes.c_void_p),
        ('pred_valid', ctypes.c_void_p),
        ('cost', ctypes.c_void_p),
        ('cost_image_stride', ctypes.c_int64),
        ('num_candidates', ctypes.c_void_p),
    )


def near_points(
    batch: MatchBatch,
    points: Tensor,
    reach: Tensor | float,
    bounds: Tensor,
    of_any: bool = False,
) -> Tensor:
    """Tells which points lie within bounds, or reach them.

    Args:
        batch (MatchBatch): B images.
        points (Tensor): (B, N, 2) x and y; may repeat one image.
        reach (Tensor | float): How far they reach to all sides, (B, N, 2) or
            one number.
        bounds (Tensor): (B, M, 4) of the ground truths, xyxy.
        of_any (bool): Whether it may be those of any ground truth of the
            image. Defaults to False.

    Returns:
        Tensor: (B, M, N) bool; what the padding holds does not matter.
    """
    if of_any:  # Nothing is within NaN.
        valid = batch.gt_valid().unsqueeze(2)
        bounds = bounds.masked_fill(~valid, math.nan)
    if not isinstance(reach, Tensor):
        reach = torch.full_like(points, reach)
    reach = reach.to(points).expand_as(points)
    areas = torch.cat((points, reach), dim=2)
    if areas.dtype == bounds.dtype == torch.float32 and can_read(
        areas, bounds
    ):
        return _find_near(batch, areas, bounds.contiguous(), of_any)
    low, high = bounds.unsqueeze(2).split(2, -1)
    point, reach = points.unsqueeze(1), reach.unsqueeze(1)
    is_near = ((low < point + reach) & (point - reach < high)).all(-1)
    if of_any:
        is_near = is_near.any(1, keepdim=True).expand_as(is_near)
    return is_near


def _find_near(
    batch: MatchBatch, areas: Tensor, bounds: Tensor, of_any: bool
) -> Tensor:
    (B, N), M = areas.shape[:2], bounds.shape[1]
    is_near = torch.empty((B, M, N), dtype=torch.bool)
    run(
        'find_near_points',
        _NearPoints(
            B,
            N,
            M,
            batch.gt_counts.data_ptr(),
            areas.data_ptr(),
            areas.stride(0),
            bounds.data_ptr(),
            of_any,
            is_near.data_ptr(),
        ),
    )
    return is_near


def exclude(
    cost: Tensor, allowed: Tensor, gt_valid: Tensor, pred_valid: Tensor
) -> Tensor:
    """Makes the costs of other pairs infinite, where a row has allowed ones.

    Args:
        cost (Tensor): (B, M, N); is overwritten.
        allowed (Tensor): (B, M, N) bool.
        gt_valid (Tensor): (B, M) bool.
        pred_valid (Tensor): (B, N) bool.

    Returns:
        Tensor: (B, M) int64, how many valid predictions are allowed; all of
        them for ground truths that take no part.
    """
    B, M, N = cost.shape
    if cost.stride()[1:] == (N, 1) and can_read(cost, allowed, gt_valid):
        allowed, gt_valid, pred_valid = (
            mask.contiguous() for mask in (allowed, gt_valid, pred_valid)
        )
        counts = torch.empty((B, M), dtype=torch.int64)
        run(
            'exclude_pairs',
            _Exclusion(
                B,
                N,
                M,
                allowed.data_ptr(),
                gt_valid.data_ptr(),
                pred_valid.data_ptr(),
                cost.data_ptr(),
                cost.stride(0),
                counts.data_ptr(),
            ),
        )
        return counts
    left_out = allowed.logical_not()
    left_out &= gt_valid.unsqueeze(2) & pred_valid.unsqueeze(1)
    counts = pred_valid.sum(1, True) - left_out.sum(2)
    left_out &= (counts > 0).unsqueeze(2)
    cost.masked_fill_(left_out, math.inf)
    return counts
