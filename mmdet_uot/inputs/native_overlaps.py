"""The greatest IoUs of a batch on the CPU, by the compiled library."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ..native import can_read, run
from .match_batch import MatchBatch

__all__ = [
    'WORD',
    'bits_above',
    'greatest_overlaps',
    'num_words',
    'sums_of_greatest',
]

# Predictions whose pairs with a ground truth are the bits of one int64.
WORD = 64

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
        ('boxes', ctypes.c_void_p),
        ('box_image_stride', ctypes.c_int64),
        ('gts', ctypes.c_void_p),
        ('counts', ctypes.c_void_p),
        ('of_any', ctypes.c_int64),
        ('threshold', ctypes.c_float),
        ('num_added', ctypes.c_int64),
        ('above', ctypes.c_void_p),
        ('sum', ctypes.c_void_p),
        ('greatest', ctypes.c_void_p),
        ('closest', ctypes.c_void_p),
        ('unsuited', ctypes.c_int32),
        ('blocks', ctypes.c_void_p * 12),
    )


def num_words(num_preds: int) -> int:
    """How many int64 hold the pairs of a ground truth."""
    return -(-num_preds // WORD)


def bits_above(batch: MatchBatch, threshold: float) -> Tensor | None:
    """Tells which pairs have a greater IoU than a threshold.

    Args:
        batch (MatchBatch): B images with boxes.
        threshold (float): In [0, 1).

    Returns:
        Tensor | None: (B, M, words) int64, bit i of word k for prediction
        64 k + i; None if the library cannot read the boxes.
    """
    B, N, columns = batch.shape
    above = torch.zeros((B, columns - 1, num_words(N)), dtype=torch.int64)
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


def greatest_overlaps(batch: MatchBatch) -> tuple[Tensor, Tensor] | None:
    """The greatest IoU of each prediction, and who is closest.

    Args:
        batch (MatchBatch): B images with boxes.

    Returns:
        tuple[Tensor, Tensor] | None: (B, N) float32; (B, M) int64 first
        prediction of the greatest IoU with each ground truth, 0 in the
        padding. None if the library cannot read the boxes.
    """
    B, N, columns = batch.shape
    greatest = torch.zeros((B, N))
    closest = torch.zeros((B, columns - 1), dtype=torch.int64)
    done = _find(
        batch, greatest=greatest.data_ptr(), closest=closest.data_ptr()
    )
    return (greatest, closest) if done else None


def _find(
    batch: MatchBatch, num_added: int = 1, **asked: float | None
) -> bool:
    """Calls the library; tells whether it could read the boxes."""
    B, N, columns = batch.shape
    boxes, gts = batch.boxes, batch.gt_boxes.contiguous()
    if (
        0 in batch.shape
        or boxes.dtype != torch.float32
        or gts.dtype != torch.float32
        or not can_read(boxes, gts)
        or not boxes[0].is_contiguous()
    ):
        return False
    arguments = _Overlaps(
        num_images=B,
        num_preds=N,
        num_rows=columns - 1,
        num_words=num_words(N),
        num_gts=batch.gt_counts.data_ptr(),
        boxes=boxes.data_ptr(),
        box_image_stride=boxes.stride(0),
        gts=gts.data_ptr(),
        num_added=num_added,
        **asked,
    )
    run('find_overlaps', arguments)
    return not arguments.unsuited
