"""Pairs that are near each other, and infinite costs for all others.

Pairs are (B, M, N) bool, or on the CPU, with the compiled library, bits: (B,
M, words) int64, of which bit i of word k is prediction 64 k + i.
"""

from __future__ import annotations

import ctypes
import math

import numpy as np
import torch
from torch import Tensor

from ..inputs.match_batch import MatchBatch
from ..inputs.native_overlaps import empty_bits
from ..native import can_read, cut_boxes, run
from ..native.box_blocks import BLOCK, Arguments, num_blocks

__all__ = ['exclude', 'near_bits', 'near_points', 'pack', 'unpack']


class _NearAreas(ctypes.Structure):
    """``near_areas`` of ``candidates.c``."""

    _fields_ = (
        ('num_images', ctypes.c_int64),
        ('num_rows', ctypes.c_int64),
        ('num_words', ctypes.c_int64),
        ('num_gts', ctypes.c_void_p),
        ('areas', Arguments),
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
        ('num_words', ctypes.c_int64),
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
        points (Tensor): (B, N, 2) x and y, or (1, N, 2) for all images.
        reach (Tensor | float): How far they reach to all sides, of the same
            shapes, or one number.
        bounds (Tensor): (B, M, 4) of the ground truths, xyxy.
        of_any (bool): Whether it may be those of any ground truth of the
            image. Defaults to False.

    Returns:
        Tensor: (B, M, N) bool; what the padding holds does not matter.
    """
    bits = near_bits(batch, points, reach, bounds, of_any)
    if bits is not None:
        return unpack(bits, batch.shape[1])
    bounds = _within(batch, bounds, of_any)
    low, high = bounds.unsqueeze(2).split(2, -1)
    point = points.unsqueeze(1)
    if isinstance(reach, Tensor):
        reach = reach.unsqueeze(1)
    is_near = ((low < point + reach) & (point - reach < high)).all(-1)
    if of_any:
        is_near = is_near.any(1, keepdim=True).expand_as(is_near)
    return is_near


def near_bits(
    batch: MatchBatch,
    points: Tensor,
    reach: Tensor | float,
    bounds: Tensor,
    of_any: bool = False,
) -> Tensor | None:
    """What :func:`near_points` tells, as bits.

    Returns:
        Tensor | None: (B, M, words) int64; None if the library cannot.
    """
    if (
        0 in batch.shape
        or bounds.dtype != torch.float32
        or not can_read(bounds)
    ):
        return None
    areas = cut_boxes(torch.cat((points - reach, points + reach), dim=2))
    if areas is None:
        return None
    bounds = _within(batch, bounds, of_any).contiguous()
    is_near = empty_bits(batch)
    run(
        'find_near_areas',
        _NearAreas(
            *is_near.shape,
            batch.gt_counts.data_ptr(),
            areas.arguments,
            bounds.data_ptr(),
            of_any,
            is_near.data_ptr(),
        ),
    )
    return is_near


def _within(batch: MatchBatch, bounds: Tensor, of_any: bool) -> Tensor:
    """Bounds that nothing is within where a ground truth takes no part."""
    if not of_any:
        return bounds
    return bounds.masked_fill(~batch.gt_valid().unsqueeze(2), math.nan)


def pack(pairs: Tensor) -> Tensor:
    """(B, M, N) bool to bits."""
    B, M, N = pairs.shape
    padded = np.zeros((B, M, num_blocks(N) * (BLOCK // 8)), 'u1')
    packed = np.packbits(pairs.numpy(), axis=2, bitorder='little')
    padded[..., : packed.shape[2]] = packed
    return torch.from_numpy(padded.view('<i8'))


def unpack(bits: Tensor, num_preds: int) -> Tensor:
    """Bits to (B, M, N) bool."""
    flags = np.unpackbits(
        bits.numpy().view('u1'), axis=2, count=num_preds, bitorder='little'
    )
    return torch.from_numpy(flags.view(bool))


def exclude(
    cost: Tensor | None,
    allowed: Tensor,
    gt_valid: Tensor,
    pred_valid: Tensor,
) -> Tensor:
    """Makes the costs of other pairs infinite, where a row has allowed ones.

    Args:
        cost (Tensor, optional): (B, M, N); is overwritten. None, which bits
            alone take, only counts.
        allowed (Tensor): (B, M, N) bool, or bits.
        gt_valid (Tensor): (B, M) bool.
        pred_valid (Tensor): (B, N) bool.

    Returns:
        Tensor: (B, M) int64, how many valid predictions are allowed; all of
        them for ground truths that take no part.
    """
    if allowed.dtype == torch.int64:
        return _exclude(cost, allowed, gt_valid, pred_valid)
    assert cost is not None
    left_out = allowed.logical_not()
    left_out &= gt_valid.unsqueeze(2) & pred_valid.unsqueeze(1)
    counts = pred_valid.sum(1, True) - left_out.sum(2)
    left_out &= (counts > 0).unsqueeze(2)
    cost.masked_fill_(left_out, math.inf)
    return counts


def _exclude(
    cost: Tensor | None, bits: Tensor, gt_valid: Tensor, pred_valid: Tensor
) -> Tensor:
    N = pred_valid.shape[1]
    assert cost is None or N == 0 or cost.stride()[1:] == (N, 1)
    bits, gt_valid, pred_valid = (
        mask.contiguous() for mask in (bits, gt_valid, pred_valid)
    )
    counts = torch.empty(bits.shape[:2], dtype=torch.int64)
    run(
        'exclude_pairs',
        _Exclusion(
            len(bits),
            N,
            *bits.shape[1:],
            bits.data_ptr(),
            gt_valid.data_ptr(),
            pred_valid.data_ptr(),
            None if cost is None else cost.data_ptr(),
            0 if cost is None else cost.stride(0),
            counts.data_ptr(),
        ),
    )
    return counts
