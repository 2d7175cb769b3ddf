"""Predictions of pairs."""

from __future__ import annotations

from torch import Tensor

__all__ = ['rows_of']


def rows_of(values: Tensor, image: Tensor, prediction: Tensor) -> Tensor:
    """``values[image, prediction]``, of which the backward pass is faster.

    Args:
        values (Tensor): (B, N, C).
        image (Tensor): (K,) int64.
        prediction (Tensor): (K,) int64.

    Returns:
        Tensor: (K, C).
    """
    row = prediction.add(image, alpha=values.shape[1])
    return values.flatten(0, 1).index_select(0, row)
