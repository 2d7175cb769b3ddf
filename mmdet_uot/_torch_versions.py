"""What some versions of torch lack, or call otherwise."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import torch

__all__ = [
    'allow_in_checkpoints',
    'allowed_in_checkpoints',
    'is_compiling',
    'triton_is_current',
]

# The fused kernel is wrong, or does not compile, in what comes before.
_FIRST_TRITON = 3


def _never() -> bool:
    return False


# Where torch.compile traces a function, either is replaced by True.
is_compiling: Callable[[], bool] = getattr(
    getattr(torch, 'compiler', None),  # torch 2.1
    'is_compiling',  # torch 2.3
    getattr(torch._utils, 'is_compiling', _never),
)


def triton_is_current() -> bool:
    """Whether there is a Triton that compiles the fused kernel."""
    try:
        import triton
    except ImportError:
        return False
    return int(triton.__version__.split('.')[0]) >= _FIRST_TRITON


def allow_in_checkpoints(types: Sequence[Any]) -> None:
    """Lets torch.load read more types; before torch 2.4 it reads all."""
    if hasattr(torch.serialization, 'add_safe_globals'):
        torch.serialization.add_safe_globals([*types])


def allowed_in_checkpoints() -> list[Any]:
    """The types that torch.load was let read."""
    if hasattr(torch.serialization, 'get_safe_globals'):
        return [*torch.serialization.get_safe_globals()]
    return []
