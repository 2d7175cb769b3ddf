"""Numbers of a device that the host reads without waiting for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ['Arrivals']


class Arrivals:
    """Copies numbers to the host, where they are read once they are there.

    Copies (of a model, for EMA) start empty: events cannot be copied.
    """

    def __init__(self) -> None:
        self._pending: deque = deque()

    def __reduce__(self) -> tuple:
        return Arrivals, ()

    def put(self, numbers: Tensor, note: Any = None) -> None:
        """Sends numbers on their way.

        Args:
            numbers (Tensor): Of any shape, on any device.
            note (Any): What :meth:`pop` gives back with them.
        """
        arrived = None
        if numbers.device.type == 'cuda':
            host = torch.empty_like(numbers, device='cpu', pin_memory=True)
            host.copy_(numbers, non_blocking=True)
            arrived = torch.cuda.Event()
            with torch.cuda.device_of(numbers):
                arrived.record()
            numbers = host
        self._pending.append((arrived, numbers, note))

    def pop(self) -> Iterator[tuple[np.ndarray, Any]]:
        """Yields what has arrived, in the order in which it was sent."""
        while self._pending:
            arrived, numbers, note = self._pending[0]
            if arrived is not None and not arrived.query():
                return
            self._pending.popleft()
            yield numbers.numpy(), note
