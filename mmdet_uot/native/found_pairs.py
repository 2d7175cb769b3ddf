"""Calls of the compiled library that find pairs."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from .library import run

__all__ = ['find_pairs']


class _Collection(ctypes.Structure):
    """``collection`` of ``found_pairs.c``."""

    _fields_ = (
        ('num_images', ctypes.c_int64),
        ('num_pairs', ctypes.c_void_p),
        ('found', ctypes.c_void_p),
        ('image', ctypes.c_void_p),
        ('prediction', ctypes.c_void_p),
        ('ground_truth', ctypes.c_void_p),
        ('mass', ctypes.c_void_p),
    )


def find_pairs(
    name: str, arguments: ctypes.Structure, num_images: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Calls a function that finds pairs.

    Args:
        name (str): Of the function.
        arguments (ctypes.Structure): What it takes; ``num_pairs`` and
            ``found`` are set here.
        num_images (int): B.

    Returns:
        tuple[Tensor, Tensor, Tensor, Tensor]: (K,) int64 image, prediction
        and ground truth, sorted by image, ground truth and prediction; (K,)
        float32 mass.

    Raises:
        MemoryError: If there is none for it.
    """
    num_pairs, found = torch.zeros((2, num_images), dtype=torch.int64)
    arguments.num_pairs = num_pairs.data_ptr()
    arguments.found = found.data_ptr()
    try:
        run(name, arguments)
    finally:
        pairs = _collect(num_pairs, found)
    return pairs


def _collect(
    num_pairs: Tensor, found: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    K = int(num_pairs.sum())
    image, prediction, ground_truth = torch.empty((3, K), dtype=torch.int64)
    pairs = image, prediction, ground_truth, torch.empty(K)
    run(
        'collect_pairs',
        _Collection(
            len(found),
            num_pairs.data_ptr(),
            found.data_ptr(),
            *(values.data_ptr() for values in pairs),
        ),
    )
    return pairs
