"""Sets up a virtual environment to train and test in.

    python tools/setup_env [--stack onedl]

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
import re
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

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / 'requirements'
# A stack of the host = requirements/<stack>.txt and the folder it goes to.
STACKS = {'onedl': '.venv'}
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
    stack = parser.parse_args().stack
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        set_up(stack, ROOT / STACKS[stack])
    except checks.SetupError as error:
        sys.exit(f'set-up failed: {error}')
    except KeyboardInterrupt:
        sys.exit('\nset-up interrupted; the next run goes on from here')


def set_up(stack: str, venv: Path) -> None:
    """Brings the environment of a stack up to date."""
    stamp = venv / 'ready'
    if is_ready(stamp, stack):
        say(f'{venv.name} is ready')
        return
    start = time.monotonic()
    cache = cache_folder()
    name = hashlib.sha256(str(venv).encode()).hexdigest()[:16]
    with locked(cache / 'locks' / name):
        if is_ready(stamp, stack):
            return
        with contextlib.suppress(FileNotFoundError):
            stamp.unlink()
        install(stack, venv, cache)
        stamp.with_suffix('.new').write_text(fingerprint(venv, stack))
        os.replace(stamp.with_suffix('.new'), stamp)
    say(f'{venv.name} is ready, {duration(time.monotonic() - start)} min')


def install(stack: str, venv: Path, cache: Path) -> None:
    """Runs all steps; those done before take a moment."""
    log = venv.with_name(f'{venv.name}-setup.log')
    log.write_text('')
    python = str(venv / 'bin' / 'python')
    pip = [python, '-m', 'pip', 'install', '--progress-bar', 'off']

    say(f'Setting up {venv}; everything is logged in {log.name}')
    with step(1, 'check this machine'):
        base = checks.find_python()
        compiler = checks.find_compiler()
        free = checks.check_disk(venv, cache, Path(tempfile.gettempdir()))
        say(f'      {base}, {compiler}, {free:.0f} GB free')
        if free < checks.CUDA_NEEDED_GB:
            say(
                '      enough for the CPU build of torch; a CUDA build needs '
                f'{checks.CUDA_NEEDED_GB:.0f} GB (see TORCH_INDEX_URL in '
                'tools/setup_env --help)'
            )

    with step(2, f'virtual environment {venv.name}'):
        if checks_out(python):
            drop_half_installed(venv)
        else:
            run([base, '-m', 'venv', '--clear', str(venv)], log=log)

    with step(3, 'torch and libraries (some minutes of download)'):
        command = list(pip)
        if 'TORCH_INDEX_URL' in os.environ:
            command += ['--extra-index-url', os.environ['TORCH_INDEX_URL']]
        for name in ('build', 'runtime', 'tests'):
            command += ['-r', str(REQUIREMENTS / f'{name}.txt')]
        run(command, log=log)

    host = host_packages(stack)
    pip += ['--no-deps', '--no-build-isolation']
    with step(4, 'operators of mmcv'):
        wheel = operator_wheel(
            python,
            next(name for name in host if 'mmcv' in name),
            torch=torch_tag(python),
            cache=cache,
            log=log,
        )
        run([*pip, str(wheel)], log=log)

    with step(5, 'MMDetection and mmdet_uot, then a trial import'):
        run([*pip, *host], log=log)
        run([*pip, '--editable', str(ROOT)], log=log)
        run([python, '-c', 'import mmcv.ops, mmdet.apis'], log=log)


@contextlib.contextmanager
def step(number: int, title: str) -> Iterator[None]:
    say(f'[{number}/{STEPS}] {title}')
    start = time.monotonic()
    yield
    say(f'      done in {duration(time.monotonic() - start)} min')


def cache_folder() -> Path:
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base, 'mmdet_uot').absolute()


def is_ready(stamp: Path, stack: str) -> bool:
    """Tells whether a finished set-up matches what is asked for now."""
    venv = stamp.parent
    return (
        stamp.is_file()
        and (venv / 'bin' / 'python').exists()
        and stamp.read_text() == fingerprint(venv, stack)
    )


def fingerprint(venv: Path, stack: str) -> str:
    """A hash of the pins, the packaging, the place and the device."""
    names = ('constraints', 'build', 'runtime', 'tests', stack)
    files = [REQUIREMENTS / f'{name}.txt' for name in names]
    files += [ROOT / 'setup.py', ROOT / 'mmdet_uot' / 'version.py']
    device = os.environ.get('FORCE_CUDA', '0')
    digest = hashlib.sha256(f'{venv} FORCE_CUDA={device}'.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def host_packages(stack: str) -> list[str]:
    """The packages of a stack with their pins, as `name==version`."""
    file = REQUIREMENTS / f'{stack}.txt'
    lines = file.read_text().splitlines()
    pins = ''
    for line in lines:
        if line.startswith('-c '):
            pins += (REQUIREMENTS / line[3:].strip()).read_text()
    names = [line for line in lines if re.match(r'\w', line)]
    found = [re.search(rf'^{name}==\S+', pins, re.M) for name in names]
    return [pin.group() for pin in found if pin]


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


def checks_out(python: str) -> bool:
    """Tells whether an environment is there, supported, and has pip."""
    if not os.path.exists(python) or checks.python_problem(python):
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
