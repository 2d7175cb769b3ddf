"""Images of any kind as red, green and blue, said to the reader."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ['Picture', 'to_picture']

# Augmentation leaves floating 8-bit numbers, some of them out of range.
MOST_AUGMENTED = 511
# Standardised numbers are less.
LEAST_OF_BYTES = 8


class Picture(NamedTuple):
    """An image as it is shown.

    Attributes:
        rgb (np.ndarray): (H, W, 3) uint8.
        note (str): What is not as in an 8-bit colour or gray image: which
            bands are the colours, which values are black and white. ''
            where nothing is to be said.
    """

    rgb: np.ndarray
    note: str = ''


def to_picture(image: np.ndarray | Tensor) -> Picture:
    """Shows an image as what it is.

    One channel is gray, three are blue, green and red, as mmdet loads them.
    Of two the first is shown in gray, of four and more the first three.
    Numbers of 8 bits, floating ones too, are shown from 0 to 255, shares from
    0 to 1, others from their least to their greatest.

    Args:
        image (np.ndarray | Tensor): (H, W, 3) uint8, RGB, which is returned
            as it is, or what a dataset gives: (C, H, W) of any real dtype.

    Returns:
        Picture: What is not finite is black.

    Raises:
        ValueError: If the image has no pixels of that shape.
    """
    if isinstance(image, np.ndarray):
        return Picture(image)
    if image.ndim != 3 or image.numel() == 0:
        raise ValueError(
            f'an image must be (C, H, W) with pixels, got {(*image.shape,)}'
        )
    bands, notes = len(image), []
    if bands == 2:
        notes.append('band 1 of 2 in gray')
    elif bands > 3:
        notes.append(f'bands 3, 2, 1 of {bands} as red, green, blue')
    # NumPy has no bfloat16, PyTorch few operators for 16-bit integers.
    shown = image[: 3 if bands >= 3 else 1].double().cpu().numpy()
    finite = shown[np.isfinite(shown)]
    low, high = _range(finite, image.dtype)
    if (low, high) != (0, 255):
        notes.append(f'values {low:,.5g} to {high:,.5g} as black to white')
    share = (np.nan_to_num(shown, nan=low, posinf=low) - low) / (high - low)
    # Not rounded, as 8-bit images keep their numbers.
    gray = (255 * share.clip(0, 1) + 1e-6).astype(np.uint8)
    rgb = np.broadcast_to(gray[::-1], (3, *gray.shape[1:])).transpose(1, 2, 0)
    return Picture(np.ascontiguousarray(rgb), ', '.join(notes))


def _range(values: np.ndarray, dtype: torch.dtype) -> tuple[float, float]:
    """The values that are black and white."""
    low, high = (values.min(), values.max()) if len(values) else (0, 0)
    most = MOST_AUGMENTED if dtype.is_floating_point else 255
    is_bytes = low >= -255 and LEAST_OF_BYTES < high <= most
    if dtype == torch.uint8 or is_bytes or low == high == 0:
        return 0, 255
    if low >= 0 and high <= 1:
        return 0, 1
    return low, max(high, low + 1e-9 * max(abs(low), 1))
