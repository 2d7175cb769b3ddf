"""Median times, and the machine that they were taken on."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch.utils.benchmark import Timer

from .competitors import SOLVERS

__all__ = ['Clock', 'Time', 'environment']

# A fast call is repeated for this long per repeat of a slow one, in seconds.
_REPEAT_SECONDS = 0.1


@dataclass(frozen=True)
class Time:
    """How long a call took.

    Attributes:
        ms (float): Median in milliseconds.
        lower_ms (float): First quartile.
        upper_ms (float): Third quartile.
        runs (int): Number of times that were taken.
    """

    ms: float
    lower_ms: float
    upper_ms: float
    runs: int


@dataclass(frozen=True)
class Clock:
    """Times calls by ``torch.utils.benchmark``, which waits for the device.

    Args:
        repeats (int): About how many times to take of a call, after three
            calls to warm up. Calls of less than 0.1 s are timed more often,
            for 0.1 s per repeat. Defaults to 5.
        threads (int): Threads of torch. Defaults to 1.
    """

    repeats: int = 5
    threads: int = 1

    def __call__(self, call: Callable[[], object]) -> Time:
        """Times a call.

        Args:
            call (Callable): What to time; its result is dropped.

        Returns:
            Time: Median and quartiles.
        """
        timer = Timer(
            'call()', globals={'call': call}, num_threads=self.threads
        )
        expected = timer.blocked_autorange(min_run_time=0).median
        times = timer.blocked_autorange(
            min_run_time=self.repeats * max(expected, _REPEAT_SECONDS)
        ).times
        lower, median, upper = 1e3 * np.percentile(times, (25, 50, 75))
        return Time(float(median), float(lower), float(upper), len(times))


def environment(device: torch.device, threads: int) -> dict[str, str | int]:
    """Describes what the times hold for.

    Args:
        device (torch.device): Device of the tensors.
        threads (int): Threads of torch.

    Returns:
        dict[str, str | int]: Device, processor, threads, and the version of
        each competitor's package, or that it is absent.
    """
    name = str(device)
    if device.type == 'cuda':
        name += f' ({torch.cuda.get_device_name(device)})'
    packages = ['mmdet', *(solver.package for solver in SOLVERS.values())]
    return dict(
        device=name,
        processor=_processor(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        cores=os.cpu_count() or 0,
        threads=threads,
        **{package: _version(package) for package in packages},
    )


def _processor() -> str:
    """The model name, which ``platform`` does not know on Linux."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line for line in lines if line.startswith('model name')]
    return models[0].split(': ')[1] if models else platform.processor()


def _version(package: str) -> str:
    if find_spec(package) is None:
        return 'absent'
    return getattr(import_module(package), '__version__', 'installed')
