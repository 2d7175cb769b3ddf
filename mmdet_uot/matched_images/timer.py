"""How much of the training steps is matching."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from mmdet.models.task_modules.assigners import BaseAssigner

__all__ = ['MatchingTimer']

# What heads call of an assigner.
_METHODS = ('assign', 'match', 'match_layers')


class MatchingTimer:
    """Times the calls of assigners between the start and end of steps.

    Only in between are their methods others, which call them and look at the
    clock. A GPU's clock is read when its work is done, at the end of a later
    step, so that nothing waits for the device.

    Args:
        assigners (Sequence[BaseAssigner]): Ours or any of mmdet's.
        device (torch.device): Where the model is.
    """

    def __init__(
        self, assigners: Sequence[BaseAssigner], device: torch.device
    ) -> None:
        self.clock = _GPUClock() if device.type == 'cuda' else _HostClock()
        self.timed_methods = [
            (assigner, name, self._timed(getattr(assigner, name)))
            for assigner in assigners
            for name in _METHODS
            if hasattr(assigner, name)
        ]
        self.busy = False
        self.seconds = dict(step=0.0, matching=0.0)
        self.pending: deque = deque()

    def start_step(self) -> None:
        """Begins a step."""
        for assigner, name, method in self.timed_methods:
            setattr(assigner, name, method)
        self.step_start = self.clock.mark()

    def end_step(self) -> None:
        """Ends a step, and puts the methods back."""
        self._note('step', self.step_start)
        for assigner, name, _ in self.timed_methods:
            delattr(assigner, name)
        while self.pending:
            part, start, end = self.pending[0]
            if not self.clock.has_passed(end):
                return
            self.pending.popleft()
            self.seconds[part] += self.clock.seconds(start, end)

    def pop_share(self) -> float | None:
        """The share of matching in the steps since the last call.

        Returns:
            float, optional: In [0, 1]; None if there were no steps.
        """
        step, matching = self.seconds['step'], self.seconds['matching']
        self.seconds = dict(step=0.0, matching=0.0)
        return matching / step if step > 0 else None

    def _note(self, part: str, start: Any) -> None:
        self.pending.append((part, start, self.clock.mark()))

    def _timed(self, method: Callable) -> Callable:
        @wraps(method)
        def timed(*args, **kwargs):
            # Some methods call others: their time counts once.
            if self.busy:
                return method(*args, **kwargs)
            self.busy, start = True, self.clock.mark()
            try:
                return method(*args, **kwargs)
            finally:
                self.busy = False
                self._note('matching', start)

        return timed


class _HostClock:
    def mark(self) -> float:
        return time.perf_counter()

    def has_passed(self, mark: float) -> bool:
        return True

    def seconds(self, start: float, end: float) -> float:
        return end - start


class _GPUClock:
    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def has_passed(self, mark: torch.cuda.Event) -> bool:
        return mark.query()

    def seconds(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        return start.elapsed_time(end) / 1000
