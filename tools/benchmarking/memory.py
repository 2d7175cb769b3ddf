"""Peak memory of a call: that of tensors to the byte, and the process's."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.profiler import ProfilerActivity, profile

__all__ = ['peak_memory', 'process_peak']


def peak_memory(call: Callable[[], object], device: torch.device) -> int:
    """Bytes of tensors that a call holds at most, beside those held before.

    On the CPU the profiler records every allocation and release of torch's
    allocator, those within operators included; the greatest running sum is
    the peak. On a GPU the allocator keeps that number itself.

    Args:
        call (Callable): What to measure.
        device (torch.device): Device of the tensors.

    Returns:
        int: The peak, the result included.
    """
    call()  # what is made once is not part of it
    if device.type == 'cuda':
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault('KINETO_LOG_LEVEL', '6')  # nothing on stderr
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        call()
    with TemporaryDirectory() as folder:
        path = Path(folder, 'trace.json')
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())['traceEvents']
    moves = [event for event in events if event['name'] == '[memory]']
    moves.sort(key=lambda event: event['ts'])
    held = accumulate(event['args']['Bytes'] for event in moves)
    return max(held, default=0)


def process_peak(call: Callable[[], object]) -> int | None:
    """Bytes by which a process grows at most during a call.

    What torch's allocator does not see is part of it: memory of libraries.

    Args:
        call (Callable): What to measure.

    Returns:
        int | None: The greatest resident memory, less that before; None
        where the system does not tell.
    """
    if sys.platform != 'linux':
        return None
    ctypes.CDLL(None).malloc_trim(0)  # what is free already counts as new
    before = _status('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')  # forgets the last peak
    call()
    return _status('VmHWM') - before


def _status(key: str) -> int:
    lines = Path('/proc/self/status').read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f'{key}:'))
    return 1024 * int(line.split()[1])
