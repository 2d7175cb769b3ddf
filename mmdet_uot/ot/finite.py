"""Numbers that are not finite, handled without waiting for a device."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ['beyond', 'can_look', 'may_hold', 'replace_non_finite']


def may_hold(flags: Tensor) -> bool:
    """Tells whether any flag may be set.

    On the CPU this is whether one is. A GPU's flags are not read, which would
    make the host wait: there the answer is yes.

    Args:
        flags (Tensor): bool, any shape.

    Returns:
        bool: False if no flag is set.
    """
    return not can_look(flags) or bool(flags.numpy().any())


def can_look(tensor: Tensor) -> bool:
    """Tells whether a tensor's values are at hand: on the CPU, not traced."""
    traced = torch.compiler.is_compiling() or type(tensor) is not Tensor
    return tensor.device.type == 'cpu' and not traced


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
