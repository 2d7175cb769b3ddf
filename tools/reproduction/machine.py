"""What a result holds for: the machine and the versions."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import import_module
from pathlib import Path

import torch
from benchmarking.timing import environment

__all__ = ['available_cores', 'describe_machine', 'describe_versions']

PACKAGES = ('torch', 'numpy', 'mmdet', 'mmcv', 'mmengine', 'mmdet_uot')
ROOT = Path(__file__).resolve().parents[2]


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_machine(device: str) -> dict[str, str | int]:
    """The device that trained, the processor and the cores."""
    gpu = device == 'cuda' and torch.cuda.is_available()
    found = environment(torch.device('cuda' if gpu else 'cpu'), 0)
    kept = ('device', 'processor', 'instructions')
    return dict({key: found[key] for key in kept}, cores=available_cores())


def describe_versions() -> dict[str, str]:
    """Of Python and the packages, and the commit where there is one."""
    versions = {name: import_module(name).__version__ for name in PACKAGES}
    return dict(python=platform.python_version(), **versions, **_commit())


def _commit() -> dict[str, str]:
    if not (ROOT / '.git').exists():
        return {}
    command = ['git', '-C', str(ROOT), 'describe', '--always', '--dirty']
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return dict(commit=found.stdout.strip())
