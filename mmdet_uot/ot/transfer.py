"""Numbers of the host on a device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ['to_device']


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
