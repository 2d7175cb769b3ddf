"""Products in full float32, whatever the surroundings chose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ['full_precision']


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Turns autocast and shortened products (TF32, bfloat16) off.

    Costs are divided by epsilon, some hundredths of their range, and then
    exponentiated: eleven bits are not enough. A traced graph (torch.compile)
    cannot choose how products are computed: in there autocast alone is off.

    Args:
        device (torch.device): Where the products are computed.
    """
    with torch.autocast(device.type, enabled=False):
        if torch.compiler.is_compiling():
            yield
            return
        chosen = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision('highest')
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(chosen)
