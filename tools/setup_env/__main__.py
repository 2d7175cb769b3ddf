"""Sets up a virtual environment to train and test in.

    python tools/setup_env [--stack {onedl,openmmlab,docs,wheels,core}]

Uses the standard library alone. What is done already is skipped, so a set-up
that broke off is taken up again by running it once more. Environment:
PIP_INDEX_URL and the other settings of pip; TORCH_INDEX_URL, an index that is
searched for torch beside the usual one (the CPU build is much smaller:
https://download.pytorch.org/whl/cpu); XDG_CACHE_HOME, where the compiled
operators are kept; MAX_JOBS, CFLAGS, CXX and FORCE_CUDA for their compile.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import checks
from operators import operator_wheel
from shell import clean_environment, duration, locked, run, say
from stacks import (
    ROOT,
    STACKS,
    Stack,
    fingerprint,
    host_packages,
    is_ready,
    requirements_file,
)

STEPS = 5


def main() -> None:
    description, details = __doc__.split('\n', 1)
    parser = argparse.ArgumentParser(
        prog='tools/setup_env',
        description=description,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--stack', choices=STACKS, default='onedl')
    stack = STACKS[parser.parse_args().stack]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        set_up(stack, ROOT / stack.venv)
    except checks.SetupError as error:
        sys.exit(f'set-up failed: {error}')
    except KeyboardInterrupt:
        sys.exit('\nset-up interrupted; the next run goes on from here')


def set_up(stack: Stack, venv: Path) -> None:
    """Brings the environment of a stack up to date."""
    stamp = venv / 'ready'
    if is_ready(stamp):
        say(f'{venv.name} is ready')
        return
    start = time.monotonic()
    cache = cache_folder()
    name = hashlib.sha256(str(venv).encode()).hexdigest()[:16]
    with locked(cache / 'locks' / name):
        if is_ready(stamp):
            return
        with contextlib.suppress(FileNotFoundError):
            stamp.unlink()
        install(stack, venv, cache)
        stamp.with_suffix('.new').write_text(fingerprint(venv))
        os.replace(stamp.with_suffix('.new'), stamp)
    say(f'{venv.name} is ready, {duration(time.monotonic() - start)} min')


def install(stack: Stack, venv: Path, cache: Path) -> None:
    """Runs all steps; those done before take a moment."""
    log = venv.with_name(f'{venv.name}-setup.log')
    log.write_text('')
    python = str(venv / 'bin' / 'python')
    pip = [python, '-m', 'pip', 'install', '--progress-bar', 'off']

    say(f'Setting up {venv}; everything is logged in {log.name}')
    with step(1, 'check this machine'):
        base = checks.find_python(stack.pythons)
        tools = [base, checks.find_compiler()] if stack.host else [base]
        free = checks.check_disk(venv, cache, Path(tempfile.gettempdir()))
        say(f'      {", ".join(tools)}, {free:.0f} GB free')
        if free < checks.CUDA_NEEDED_GB:
            say(
                '      enough for the CPU build of torch; a CUDA build needs '
                f'{checks.CUDA_NEEDED_GB:.0f} GB (see TORCH_INDEX_URL in '
                'tools/setup_env --help)'
            )

    with step(2, f'virtual environment {venv.name}'):
        if checks_out(python, stack.pythons):
            drop_half_installed(venv)
        else:
            run([base, '-m', 'venv', '--clear', str(venv)], log=log)

    with step(3, 'torch and libraries (some minutes of download)'):
        command = [*pip, '-c', str(stack.pins)]
        if 'TORCH_INDEX_URL' in os.environ:
            command += ['--extra-index-url', os.environ['TORCH_INDEX_URL']]
        for name in stack.libraries:
            command += ['-r', str(requirements_file(name))]
        run(command, log=log)

    pip += ['--no-deps', '--no-build-isolation']
    with step(4, 'MMDetection and the operators of mmcv'):
        if stack.host:
            host = host_packages(stack)
            mmcv = next(name for name in host if 'mmcv' in name)
            tag = torch_tag(python)
            wheel = operator_wheel(
                python, mmcv, torch=tag, cache=cache, log=log
            )
            run([*pip, str(wheel), *host], log=log)
        else:
            say('      not part of this stack')

    with step(5, 'mmdet_uot, then a trial import'):
        run([*pip, '--editable', str(ROOT)], log=log)
        run([python, '-c', 'import mmdet_uot.ot'], log=log)


@contextlib.contextmanager
def step(number: int, title: str) -> Iterator[None]:
    say(f'[{number}/{STEPS}] {title}')
    start = time.monotonic()
    yield
    say(f'      done in {duration(time.monotonic() - start)} min')


def cache_folder() -> Path:
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base, 'mmdet_uot').absolute()


def torch_tag(python: str) -> str:
    """The versions of Python and torch in the environment, as a file name."""
    code = (
        'import platform, sys, torch; print("cp%d%d-torch%s-%s" % ('
        '*sys.version_info[:2], torch.__version__, platform.machine()))'
    )
    run = subprocess.run(
        [python, '-c', code],
        stdout=subprocess.PIPE,
        check=True,
        env=clean_environment(),
    )
    return run.stdout.decode().strip()


def checks_out(python: str, versions: tuple[str, ...]) -> bool:
    """Tells whether an environment is there, supported, and has pip."""
    if not os.path.exists(python) or checks.python_problem(python, versions):
        return False
    command = [python, '-m', 'pip', '--version']
    return subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0


def drop_half_installed(venv: Path) -> None:
    """Removes the records of packages whose installation broke off.

    pip writes RECORD last; without it pip takes the package for installed but
    can neither complete nor replace it.
    """
    for folder in venv.glob('lib/python*/site-packages/*.dist-info'):
        if not (folder / 'RECORD').exists():
            shutil.rmtree(folder)


if __name__ == '__main__':
    main()
