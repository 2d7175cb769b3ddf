"""Products in full float32, whatever the surroundings chose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

from .._torch_versions import is_compiling

__all__ = ['full_precision']

# Functions and methods of torch that compute matrix products.
_PRODUCTS = {'__matmul__', '__rmatmul__', 'matmul', 'mm', 'bmm', 'mv'}
_PRODUCTS |= {'addmm', 'addbmm', 'baddbmm', 'addmv', 'linear', 'bilinear'}
_PRODUCTS |= {'einsum', 'tensordot', 'inner', 'cdist', 'multi_dot'}


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Turns autocast and shortened products (TF32, bfloat16) off.

    Costs are divided by epsilon, some hundredths of their range, and then
    exponentiated: eleven bits are not enough. The settings of torch, which
    all threads share, are not touched: where they may shorten products of
    float32, these are computed in float64. Traced graphs (torch.compile) only
    turn autocast off; the solver has no product there that can be shortened.

    Args:
        device (torch.device): Where the products are computed.
    """
    with _no_autocast(device.type), _exact_products():
        yield


def _no_autocast(device_type: str) -> AbstractContextManager[Any]:
    try:
        return torch.autocast(device_type, enabled=False)
    except (RuntimeError, AssertionError):  # This device has none.
        return nullcontext()


def _exact_products() -> AbstractContextManager[Any]:
    if is_compiling():
        return nullcontext()
    try:
        exact = torch.get_float32_matmul_precision() == 'highest'
    except RuntimeError:  # Other settings of torch shorten some products.
        exact = False
    return nullcontext() if exact else _Float64Products()


class _Float64Products(TorchFunctionMode):
    """Computes products of float32 in float64, in this thread."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        is_product = getattr(func, '__name__', '') in _PRODUCTS
        if not is_product or 'out' in kwargs:
            return func(*args, **kwargs)
        given = tree_flatten((args, kwargs))[0]
        if not any(_has_dtype(value, torch.float32) for value in given):
            return func(*args, **kwargs)
        args, kwargs = tree_map(
            _cast(torch.float32, torch.float64), (args, kwargs)
        )
        return tree_map(
            _cast(torch.float64, torch.float32), func(*args, **kwargs)
        )


def _cast(old: torch.dtype, new: torch.dtype) -> Callable[[Any], Any]:
    def cast(value: Any) -> Any:
        return value.to(new) if _has_dtype(value, old) else value

    return cast


def _has_dtype(value: Any, dtype: torch.dtype) -> bool:
    return isinstance(value, Tensor) and value.dtype == dtype
