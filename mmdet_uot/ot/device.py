"""Numbers between the host and a device, without waiting for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._torch_versions import is_compiling

__all__ = ['can_look', 'may_hold', 'to_device']


def to_device(
    numbers: Sequence[float] | Sequence[Sequence[float]],
    device: torch.device,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """A tensor of a few numbers, made without waiting for the device.

    ``torch.tensor(numbers, device=device)`` waits until a GPU has done all
    that it was asked for before.

    Args:
        numbers (Sequence): Of any nesting.
        device (torch.device): Where the tensor is needed.
        dtype (torch.dtype, optional): Defaults to that of ``torch.tensor``.

    Returns:
        Tensor: On the device.
    """
    return torch.tensor(numbers, dtype=dtype).to(device, non_blocking=True)


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
    traced = is_compiling() or type(tensor) is not Tensor
    return tensor.device.type == 'cpu' and not traced
