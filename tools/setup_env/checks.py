"""What this machine must have before anything is installed."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

NEEDED_GB = 4.0  # with the CPU build of torch
CUDA_NEEDED_GB = 10.0

# Runs in the Python that is looked at, which may be any version.
_PROBE = """
import json, os, sys, sysconfig
try:
    import ensurepip, venv
    has_venv = True
except ImportError:
    has_venv = False
header = os.path.join(sysconfig.get_path('include'), 'Python.h')
print(json.dumps({
    'version': '%d.%d' % sys.version_info[:2],
    'venv': has_venv,
    'header': os.path.exists(header),
}))
"""


class SetupError(Exception):
    """A problem that the user has to solve; its text says how."""


def find_python(
    versions: tuple[str, ...], current: str = sys.executable
) -> str:
    """Finds a Python to make the environment from.

    The running one is preferred, then those on PATH, the first version first.

    Raises:
        SetupError: None is of a supported version and complete.
    """
    problems = {}
    for name in (current, *(f'python{version}' for version in versions)):
        path = shutil.which(name)
        if path is None:
            continue
        problem = python_problem(path, versions)
        if problem is None:
            return path
        problems[path] = problem
    incomplete = [text for text in problems.values() if 'apt-get' in text]
    if incomplete:
        raise SetupError(incomplete[0])
    raise SetupError(
        f'Python {_one_of(versions)} is needed; {current} is Python '
        f'{platform.python_version()} and there is no other on PATH. Install '
        f'one, or name it: make PYTHON=/path/to/python{versions[0]}'
    )


def _one_of(versions: tuple[str, ...]) -> str:
    *others, last = sorted(versions, key=lambda v: int(v.split('.')[1]))
    return f'{", ".join(others)} or {last}'


def python_problem(python: str, versions: tuple[str, ...]) -> str | None:
    """Says what is wrong with a Python, or returns None."""
    run = subprocess.run(
        [python, '-c', _PROBE], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if run.returncode:
        return f'{python} does not run'
    found = json.loads(run.stdout)
    version = found['version']
    if version not in versions:
        return f'{python} is Python {version}'
    if not found['venv']:
        return (
            f'{python} has no venv module; install it (Debian, Ubuntu: '
            f'apt-get install python{version}-venv)'
        )
    if not found['header']:
        return (
            f'{python} has no C headers (Python.h); install them (Debian, '
            f'Ubuntu: apt-get install python{version}-dev)'
        )
    return None


def find_compiler() -> str:
    """Finds a C++17 compiler that works.

    Raises:
        SetupError: There is none.
    """
    names = [os.environ['CXX']] if 'CXX' in os.environ else ['c++', 'g++']
    for name in names:
        path = shutil.which(name.split()[0])
        if path is None:
            continue
        run = subprocess.run(
            [path, '-std=c++17', '-fsyntax-only', '-x', 'c++', '-'],
            input=b'#include <optional>\nint main() {}\n',
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if run.returncode == 0:
            return path
    raise SetupError(
        'a C++17 compiler is needed to build the operators of mmcv, and '
        f'{" or ".join(names)} is none; install one (Debian, Ubuntu: apt-get '
        'install g++) or name it in CXX'
    )


def check_disk(*folders: Path, needed_gb: float = NEEDED_GB) -> float:
    """Checks the free disk space of folders that may not exist yet.

    Returns:
        float: The least free space of them, in GB.

    Raises:
        SetupError: It is less than needed.
    """
    free = {folder: _free_gb(folder) for folder in folders}
    least = min(free, key=lambda folder: free[folder])
    if free[least] < needed_gb:
        raise SetupError(
            f'{needed_gb:.0f} GB of disk are needed and {least} has '
            f'{free[least]:.1f} GB free; make room, or set XDG_CACHE_HOME or '
            'TMPDIR to another disk if it is below one of these'
        )
    return free[least]


def _free_gb(folder: Path) -> float:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9
