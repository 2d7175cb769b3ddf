"""Numbers that are not finite, replaced without waiting for a device."""

from __future__ import annotations

import torch
from torch import Tensor

from .device import may_hold

__all__ = ['beyond', 'replace_non_finite']


def replace_non_finite(cost: Tensor) -> Tensor:
    """Replaces NaN and infinities by a cost beyond all finite ones.

    Args:
        cost (Tensor): (B, N, M) costs.

    Returns:
        Tensor: (B, N, M); where an entry was not finite, :func:`beyond` the
        greatest finite magnitude of its image.
    """
    if 0 in cost.shape or not may_hold(~cost.sum((1, 2)).isfinite()):
        return cost
    finite = cost.isfinite()
    known = torch.where(finite, cost, 0.0)
    return torch.where(finite, cost, beyond(known.abs().amax((1, 2), True)))


def beyond(largest: Tensor) -> Tensor:
    """What a cost that is not finite becomes.

    Args:
        largest (Tensor): Greatest finite magnitude.

    Returns:
        Tensor: Twice that, or 1 if it is zero.
    """
    return torch.where(largest > 0, 2 * largest, 1.0)
