"""The greatest IoUs of a batch on the CPU, and whose they are, compiled."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ..native import BlockedBoxes, can_read, find_pairs, run
from ..native.box_blocks import Arguments, num_blocks
from .bad_numbers import LARGEST
from .match_batch import MatchBatch

__all__ = [
    'bits_above',
    'closest_pairs',
    'empty_bits',
    'find_band',
    'sums_of_greatest',
]

# What the library can add up.
_MOST_ADDED = 256


class _Overlaps(ctypes.Structure):
    """``overlaps`` of ``overlaps.c``."""

    _fields_ = (
        ('num_images', ctypes.c_int64),
        ('num_preds', ctypes.c_int64),
        ('num_rows', ctypes.c_int64),
        ('num_words', ctypes.c_int64),
        ('num_gts', ctypes.c_void_p),
        ('boxes', Arguments),
        ('gts', ctypes.c_void_p),
        ('counts', ctypes.c_void_p),
        ('of_any', ctypes.c_int64),
        ('threshold', ctypes.c_float),
        ('num_added', ctypes.c_int64),
        ('above', ctypes.c_void_p),
        ('sum', ctypes.c_void_p),
    )


class _Band(ctypes.Structure):
    """``overlap_band`` of ``overlaps.c``."""

    _fields_ = (
        ('num_images', ctypes.c_int64),
        ('num_preds', ctypes.c_int64),
        ('num_rows', ctypes.c_int64),
        ('num_gts', ctypes.c_void_p),
        ('boxes', Arguments),
        ('gts', ctypes.c_void_p),
        ('low', ctypes.c_float),
        ('high', ctypes.c_float),
        ('keep_closest', ctypes.c_int64),
        ('is_in', ctypes.c_void_p),
    )


class _Closest(ctypes.Structure):
    """``closest_overlaps`` of ``overlaps.c``."""

    _fields_ = (
        ('num_images', ctypes.c_int64),
        ('num_preds', ctypes.c_int64),
        ('num_rows', ctypes.c_int64),
        ('num_gts', ctypes.c_void_p),
        ('boxes', Arguments),
        ('gts', ctypes.c_void_p),
        ('weight', ctypes.c_float),
        ('background', ctypes.c_void_p),
        ('background_image_stride', ctypes.c_int64),
        ('most_background', ctypes.c_float),
        ('gt_valid', ctypes.c_void_p),
        ('pred_valid', ctypes.c_void_p),
        ('allowed', ctypes.c_void_p),
        ('forced', ctypes.c_int64),
        ('num_pairs', ctypes.c_void_p),
        ('found', ctypes.c_void_p),
    )


def empty_bits(batch: MatchBatch) -> Tensor:
    """(B, M, words) int64, to be filled but for the padding's rows."""
    B, N, columns = batch.shape
    return torch.empty((B, columns - 1, num_blocks(N)), dtype=torch.int64)


def bits_above(batch: MatchBatch, threshold: float) -> Tensor | None:
    """Tells which pairs have a greater IoU than a threshold.

    Args:
        batch (MatchBatch): B images with boxes.
        threshold (float): In [0, 1).

    Returns:
        Tensor | None: (B, M, words) int64, bit i of word k for prediction
        64 k + i; what the padding holds does not matter. None if the library
        cannot read the boxes.
    """
    above = empty_bits(batch)
    done = _find(batch, threshold=threshold, above=above.data_ptr())
    return above if done else None


def sums_of_greatest(
    batch: MatchBatch,
    number: int,
    counts: Tensor | None = None,
    of_any: bool = False,
) -> Tensor | None:
    """Adds up the greatest IoUs of each ground truth.

    Args:
        batch (MatchBatch): B images with boxes.
        number (int): How many.
        counts (Tensor, optional): (B, M, words) int64, the pairs that count,
            as :func:`bits_above` has them. Defaults to None, all.
        of_any (bool): Whether a pair counts that does with another ground
            truth. Defaults to False.

    Returns:
        Tensor | None: (B, M) float32; None if it is to be computed otherwise.
    """
    if number > _MOST_ADDED:
        return None
    sums = torch.zeros((len(batch), batch.shape[2] - 1))
    done = _find(
        batch,
        counts=None if counts is None else counts.data_ptr(),
        of_any=of_any,
        num_added=number,
        sum=sums.data_ptr(),
    )
    return sums if done else None


def find_band(
    batch: MatchBatch, low: float, high: float, keep_closest: bool
) -> Tensor | None:
    """Tells whose greatest IoU lies in a band, see :func:`lies_in_band`.

    Returns:
        Tensor | None: (B, N) bool; None if the library cannot.
    """
    boxes = _readable(batch)
    if boxes is None:
        return None
    B, N, columns = batch.shape
    is_in = torch.empty((B, N), dtype=torch.bool)
    gts = batch.gt_boxes.contiguous()
    arguments = _Band(
        B,
        N,
        columns - 1,
        batch.gt_counts.data_ptr(),
        boxes.arguments,
        gts.data_ptr(),
        low,
        high,
        keep_closest,
        is_in.data_ptr(),
    )
    run('find_band', arguments)
    return is_in


def closest_pairs(
    batch: MatchBatch,
    weight: float,
    background_cost: Tensor,
    gt_valid: Tensor,
    pred_valid: Tensor,
    allowed: Tensor | None = None,
    forced: bool = False,
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Finds the closest ground truth of each prediction.

    A pair costs ``weight * (1 - IoU)``. A prediction takes the first ground
    truth of the least cost if that is at most its background cost.

    Args:
        batch (MatchBatch): B images with boxes.
        weight (float): Cost of boxes without overlap.
        background_cost (Tensor): (B, N) float32; may repeat one image.
        gt_valid (Tensor): (B, M) bool, ground truths that take part.
        pred_valid (Tensor): (B, N) bool, predictions that take part.
        allowed (Tensor, optional): (B, M, words) int64, the pairs that may be
            matched, as :func:`bits_above` has them. Defaults to None, all.
        forced (bool): Whether each ground truth first takes the first
            prediction of the least cost. Of several that take the same one
            the last gets it. Defaults to False.

    Returns:
        tuple[Tensor, Tensor, Tensor] | None: (K,) int64 image, prediction and
        ground truth, sorted by image, ground truth and prediction; None if
        the library cannot read the boxes, the weight is no good, or boxes
        without overlap cost no more than a background.
    """
    boxes = _readable(batch)
    if boxes is None:
        return None
    assert background_cost.stride(1) == 1
    repeats = background_cost.stride(0) == 0
    most = background_cost[: 1 if repeats else None].max().item()
    farthest = ctypes.c_float(weight).value
    if not 0 < farthest <= LARGEST or most >= farthest:
        return None
    B, N, columns = batch.shape
    gts, gt_valid, pred_valid = (
        values.contiguous()
        for values in (batch.gt_boxes, gt_valid, pred_valid)
    )
    arguments = _Closest(
        num_images=B,
        num_preds=N,
        num_rows=columns - 1,
        num_gts=batch.gt_counts.data_ptr(),
        boxes=boxes.arguments,
        gts=gts.data_ptr(),
        weight=weight,
        background=background_cost.data_ptr(),
        background_image_stride=background_cost.stride(0),
        most_background=most,
        gt_valid=gt_valid.data_ptr(),
        pred_valid=pred_valid.data_ptr(),
        allowed=None if allowed is None else allowed.data_ptr(),
        forced=forced,
    )
    image, prediction, ground_truth, _ = find_pairs(
        'find_closest', arguments, B
    )
    return image, prediction, ground_truth


def _readable(batch: MatchBatch) -> BlockedBoxes | None:
    """The boxes, if the library can read them and the ground truths."""
    gts = batch.gt_boxes
    if 0 in batch.shape or gts.dtype != torch.float32 or not can_read(gts):
        return None
    return batch.blocked_boxes


def _find(
    batch: MatchBatch, num_added: int = 1, **asked: float | None
) -> bool:
    """Calls the library; tells whether it could read the boxes."""
    boxes = _readable(batch)
    if boxes is None:
        return False
    B, N, columns = batch.shape
    gts = batch.gt_boxes.contiguous()
    arguments = _Overlaps(
        num_images=B,
        num_preds=N,
        num_rows=columns - 1,
        num_words=num_blocks(N),
        num_gts=batch.gt_counts.data_ptr(),
        boxes=boxes.arguments,
        gts=gts.data_ptr(),
        num_added=num_added,
        **asked,
    )
    run('find_overlaps', arguments)
    return True
