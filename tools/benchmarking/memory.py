"""Peak memory of a call, to the byte."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.profiler import ProfilerActivity, profile

__all__ = ['peak_memory']


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
