"""The wheel of mmcv: compiled once, kept for every later environment."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from checks import SetupError
from shell import duration, locked, run, say

CPU_SECONDS = 680  # user + system time of the whole compile
JOB_MB = 1500  # memory of one compiler process


def operator_wheel(
    python: str, requirement: str, *, torch: str, cache: Path, log: Path
) -> Path:
    """Returns the wheel of mmcv, from the cache or compiled now.

    A compile that broke off is resumed: the sources stay unpacked in the
    cache until the wheel is there, and ninja skips what it has finished.

    Args:
        python (str): Python of the environment; has torch and ninja.
        requirement (str): What to build, for example `onedl-mmcv==2.3.6`.
        torch (str): What the wheel depends on beside: the versions of Python
            and torch.
        cache (Path): Folder that outlives the environment.
        log (Path): Log file.
    """
    device = 'cuda' if os.environ.get('FORCE_CUDA') == '1' else 'cpu'
    key = f'{requirement.replace("==", "-")}-{torch}-{device}'
    shelf = cache / 'wheels' / key
    with locked(cache / 'locks' / key) as lock:
        if not list(shelf.glob('*.whl')):
            work = cache / 'build' / key
            _unpack(python, requirement, work, log)
            _compile(python, work, device, log, lock)
            shelf.mkdir(parents=True, exist_ok=True)
            built = _only(work / 'dist', '*.whl')
            shutil.copyfile(built, shelf / 'unfinished')
            os.replace(shelf / 'unfinished', shelf / built.name)
            shutil.rmtree(work)
        else:
            say('      compiled earlier, taken from the cache')
    return _only(shelf, '*.whl')


def _unpack(python: str, requirement: str, work: Path, log: Path) -> None:
    source = work / 'source'
    if source.is_dir():
        return
    shutil.rmtree(work, ignore_errors=True)
    download = [python, '-m', 'pip', 'download', '--no-deps']
    download += ['--no-binary', ':all:', '--no-build-isolation']
    run([*download, '--dest', str(work / 'sdist'), requirement], log=log)
    sdist = _only(work / 'sdist', '*')
    shutil.unpack_archive(str(sdist), str(work / 'unpacked'))
    _only(work / 'unpacked', '*').rename(source)


def _compile(
    python: str, work: Path, device: str, log: Path, lock: int
) -> None:
    jobs = int(os.environ.get('MAX_JOBS') or _parallel_jobs())
    finished, total = _count(work)
    minutes = max(1, round(CPU_SECONDS / jobs / 60))
    resumed = f'; {finished} of {total} files are done' if finished else ''
    say(
        f'      compiling, {jobs} at a time: about {minutes} min in all'
        f'{resumed}'
    )
    start = time.monotonic()

    def status() -> str:
        done, total = _count(work)
        if not total:
            return 'preparing the compile'
        if done == total:
            return f'{done}/{total} files compiled, linking'
        left = ''
        if done > finished + 2:
            elapsed = time.monotonic() - start
            rate = elapsed / (done - finished)
            left = f', about {duration(rate * (total - done))} left'
        return f'{done}/{total} files compiled{left}'

    run(
        [python, 'setup.py', 'bdist_wheel', '--dist-dir', '../dist'],
        cwd=work / 'source',
        log=log,
        status=status,
        keep_open=(lock,),
        env={
            'MAX_JOBS': str(jobs),
            'CFLAGS': os.environ.get('CFLAGS', '-g0 -O2'),
            'MMCV_WITH_OPS': '1',
            **({'CUDA_VISIBLE_DEVICES': ''} if device == 'cpu' else {}),
        },
    )


def _count(work: Path) -> tuple[int, int]:
    """Counts the object files that are there and those to be made."""
    total = 0
    for plan in work.glob('source/build/temp*/build.ninja'):
        lines = plan.read_text().splitlines()
        total += sum(line.startswith('build ') for line in lines)
    return len(list(work.glob('source/build/temp*/**/*.o'))), total


def _parallel_jobs() -> int:
    jobs = len(os.sched_getaffinity(0))
    page, free = (os.sysconf(f'SC_{n}') for n in ('PAGE_SIZE', 'AVPHYS_PAGES'))
    return max(1, min(jobs, page * free // (JOB_MB << 20)))


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise SetupError(
            f'expected one {pattern} in {folder}, found {len(found)}; remove '
            'that folder and run again'
        )
    return found[0]
