"""What some versions of torch lack, or call otherwise."""

from __future__ import annotations

import os
import pickle
from types import SimpleNamespace
from typing import Any, Callable, Sequence

import torch

__all__ = [
    'allow_in_checkpoints',
    'allowed_in_checkpoints',
    'is_compiling',
    'load_without_code',
    'triton_is_current',
]

# The fused kernel is wrong, or does not compile, in what comes before.
_FIRST_TRITON = 3


_HAS_LIST = hasattr(torch.serialization, 'get_safe_globals')
_TRUST = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
# What a file of weights names; torch's own list from 2.4 on.
_REBUILD = {
    '_codecs': ('encode',),  # how bytes are stored
    'collections': ('OrderedDict',),
    'torch': ('Size', 'device'),
    'torch._utils': (
        '_rebuild_parameter',
        '_rebuild_tensor',
        '_rebuild_tensor_v2',
    ),
}


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
    """Lets torch.load read more types, where torch asks for that."""
    if _HAS_LIST:
        torch.serialization.add_safe_globals([*types])


def allowed_in_checkpoints() -> list[Any]:
    """The types that torch.load was let read."""
    return [*torch.serialization.get_safe_globals()] if _HAS_LIST else []


def load_without_code(path: str, types: Sequence[Any]) -> Any:
    """The content of a file, on the device 'meta'.

    Args:
        path (str): A file that ``torch.save`` wrote.
        types (Sequence): What it may hold beside tensors and plain values.

    Raises:
        pickle.UnpicklingError: It asks for something else, and the variable
            TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD of torch 2.6 is not set.
    """
    if os.environ.get(_TRUST, '').lower() in ('1', 'y', 'yes', 'true'):
        options = dict(weights_only=False)
    elif _HAS_LIST:
        allow_in_checkpoints(types)
        options = dict(weights_only=True)
    else:
        options = dict(pickle_module=_pickle_of(types))
    return torch.load(path, map_location='meta', **options)


def _pickle_of(types: Sequence[Any]) -> SimpleNamespace:
    """The module pickle, limited to types and what tensors are made of."""
    found = {(each.__module__, each.__qualname__): each for each in types}

    def public(owner: Any, name: str) -> Any:
        # What begins with an underscore leads to everything.
        if owner not in types or name.startswith('_'):
            raise pickle.UnpicklingError(f'Unsupported attribute: {name}')
        return getattr(owner, name)

    if getattr in types:
        found['builtins', 'getattr'] = found['__builtin__', 'getattr'] = public

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) in found:
                return found[module, name]
            is_storage = module == 'torch' and name.endswith('Storage')
            is_dtype = module == 'torch' and isinstance(
                getattr(torch, name, None), torch.dtype
            )
            if is_storage or is_dtype or name in _REBUILD.get(module, ()):
                return super().find_class(module, name)
            raise pickle.UnpicklingError(
                f'Unsupported global: {module}.{name}'
            )

    def load(file: Any, **options: Any) -> Any:
        return Unpickler(file, **options).load()

    return SimpleNamespace(
        Unpickler=Unpickler,
        load=load,
        UnpicklingError=pickle.UnpicklingError,
        __name__='pickle',
    )
