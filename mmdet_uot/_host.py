"""Which MMDetection this plugin runs on, checked once at import.

Two stacks share the import names mmdet, mmcv and mmengine: the maintained fork
`onedl-*`, which the tests run on, and OpenMMLab's, whose interfaces that are
used here are the same. `mmdet_uot.ot` needs none of them.
"""

from __future__ import annotations

import functools
import io
import re
import warnings
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec

STACKS: dict[str, dict[str, str]] = {
    'onedl': {
        'onedl-mmdetection': '3.5.1',
        'onedl-mmcv': '2.3.6',
        'onedl-mmengine': '0.10.12',
    },
    'openmmlab': {'mmdet': '3.3.0', 'mmcv': '2.1.0', 'mmengine': '0.10.7'},
}
MODULES = ('mmdet', 'mmcv', 'mmengine')
# From the first to before the second, of both.
RANGES = (((3, 1), (3, 6)), ((2, 0, 1), (2, 4)), ((0, 7, 1), (1,)))
_MADE_FOR = ', or '.join(
    ' + '.join(f'{name} {version}' for name, version in stack.items())
    for stack in STACKS.values()
)
_WAY_OUT = (
    'In the repository `make train` and `make test` set up the first; '
    'elsewhere install torch, then one of them with '
    '`pip install --no-build-isolation "mmdet_uot[onedl]"` (or '
    '`[openmmlab]`): mmcv compiles against the torch that is there.'
)


def is_installed(module: str = 'mmdet') -> bool:
    """Tells whether a module can be found, without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def check_host() -> None:
    """Checks that a usable, known MMDetection is installed.

    Call it first in every subpackage that imports the host, so that a user
    without one reads what to install, not only which module was missing.

    Raises:
        ImportError: A package is missing, or mmcv has no compiled operators.

    Warns:
        UserWarning: A version is out of the range that the package is made
            for; once per process.
    """
    missing = [name for name in MODULES if not is_installed(name)]
    if missing:
        raise ImportError(
            f'mmdet_uot needs MMDetection 3.x, but {", ".join(missing)} '
            f'cannot be found. Made for: {_MADE_FOR}. {_WAY_OUT} '
            '`mmdet_uot.ot` works without.'
        )
    if not is_installed('mmcv._ext'):
        raise ImportError(
            'mmdet_uot needs mmcv with its compiled operators, but mmcv '
            f'{_version("mmcv")} here has none (mmcv-lite, or mmcv built '
            'where torch could not be imported). Uninstall it first. Made '
            f'for: {_MADE_FOR}. {_WAY_OUT}'
        )
    found = tuple(_version(name) for name in MODULES)
    if not all(
        first <= _numbers(version) < end
        for version, (first, end) in zip(found, RANGES)
    ):
        _warn_of_unknown(found)


def import_quietly() -> None:
    """Imports the host's datasets without what they print of OneDL.

    That optional package is missing nearly everywhere, and each of two
    modules says so.
    """
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            import_module('mmdet.datasets')
    except ImportError:
        # `check_host` says what is missing.
        return
    for line in printed.getvalue().splitlines():
        if 'Could not import OneDL' not in line:
            print(line)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r'\d+', version)[:3]))


@functools.lru_cache(maxsize=None)
def _warn_of_unknown(found: tuple[str, ...]) -> None:
    versions = ', '.join(map(' '.join, zip(MODULES, found)))
    warnings.warn(
        f'mmdet_uot was not tried with {versions}. Made for: {_MADE_FOR}.',
        stacklevel=3,
    )


def _version(module: str) -> str:
    return str(import_module(module).__version__)
