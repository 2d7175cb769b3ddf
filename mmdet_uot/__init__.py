"""Unbalanced Optimal Transport label assignment for MMDetection 3.x.

Importing this package registers everything it offers in mmdet's registries,
which is what `custom_imports = dict(imports=['mmdet_uot'])` in a config does:

- `assigners`: costs to problem to transport plan (TASK_UTILS)
- `losses`: plan to weighted losses, hard negative mining by mass (MODELS)
- `heads`: detection heads that put the two together (MODELS)
- `datasets`: Color Boxes and its renderer (DATASETS)
- `hooks`: schedules and diagnostics of the matching, resuming (HOOKS)

`mmdet_uot.ot`, the solver, is pure PyTorch; where MMDetection is not installed
it is the only part that can be used.
"""

from __future__ import annotations

from . import _host
from .version import __version__

__all__ = ['__version__']

_REGISTERING = ('assigners', 'datasets', 'heads', 'hooks', 'losses')

if _host.is_installed('mmdet'):
    _host.import_quietly()
    from . import assigners, datasets, heads, hooks, losses
    from ._config_scope import register_config_scope
    from ._empty_epochs import refuse_empty_epochs

    register_config_scope()
    refuse_empty_epochs()
    __all__ += ['assigners', 'datasets', 'heads', 'hooks', 'losses']
else:

    def __getattr__(name: str) -> object:
        if name in _REGISTERING:
            _host.check_host()
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
