"""Finds the compiled library and calls it."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor

from .._torch_versions import is_compiling
from .sources import FOLDER, LIBRARIES, source_hash

__all__ = ['can_read', 'library', 'run']


@functools.lru_cache(maxsize=None)
def library() -> ctypes.CDLL | None:
    """The library that `setup.py` compiles, or None without one.

    The environment variable MMDET_UOT_INSTRUCTIONS, one of LIBRARIES, says
    how much of the processor it may use: all by default.

    Warns if it was compiled from other sources than those beside it, and then
    is not used.

    Raises:
        ValueError: If the environment variable is something else.
    """
    most = os.environ.get('MMDET_UOT_INSTRUCTIONS', [*LIBRARIES][-1])
    if most not in LIBRARIES:
        raise ValueError(
            f'MMDET_UOT_INSTRUCTIONS must be one of {[*LIBRARIES]}, got '
            f'{most!r}'
        )
    file = FOLDER / f'{LIBRARIES[most]}.so'
    if not file.exists():
        return None
    try:
        loaded = _load(file)
        loaded.source_hash.restype = ctypes.c_char_p
        current = loaded.source_hash().decode() == source_hash()
    except (OSError, AttributeError) as error:
        warnings.warn(
            f'{file} cannot be loaded ({error}); matching on the CPU '
            'takes several times as long',
            stacklevel=2,
        )
        return None
    if not current:
        warnings.warn(
            f'{file} was compiled from other sources; matching on the '
            'CPU takes several times as long until mmdet_uot is installed '
            'again',
            stacklevel=2,
        )
        return None
    _end_threads_before_forks()
    return loaded


def _load(file: Path) -> ctypes.CDLL:
    """Loads a library, with the OpenMP of torch or else that of the system."""
    try:
        return ctypes.CDLL(str(file))
    except OSError:
        ctypes.CDLL('libgomp.so.1', mode=ctypes.RTLD_GLOBAL)
        return ctypes.CDLL(str(file))


def _end_threads_before_forks() -> None:
    """Lets forked processes use OpenMP, torch's operators included.

    GNU's runtime keeps its threads. A fork has none of them, but its runtime
    would wait for them forever. So they are ended, and started again when they
    are next needed.
    """
    everything = ctypes.CDLL(None)
    end_threads = getattr(everything, 'omp_pause_resource_all', None)
    if sys.platform == 'linux' and end_threads is not None:
        hard = 2  # omp_pause_hard
        os.register_at_fork(before=functools.partial(end_threads, hard))


def can_read(*tensors: Tensor) -> bool:
    """Tells whether the library can work on the memory of these tensors."""
    if is_compiling() or library() is None:
        return False
    return all(
        type(tensor) is Tensor and tensor.device.type == 'cpu'
        for tensor in tensors
    )


def run(name: str, arguments: ctypes.Structure) -> None:
    """Calls a function for all images, on as many threads as torch.

    Args:
        name (str): Of the function.
        arguments (ctypes.Structure): What it takes.

    Raises:
        MemoryError: If there is none for it.
    """
    function = getattr(library(), name)
    threads = ctypes.c_int64(torch.get_num_threads())
    if function(ctypes.byref(arguments), threads):
        raise MemoryError(f'{name} of mmdet_uot: out of memory')
