"""Runs long commands: output to a log, progress to the terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from checks import SetupError

TAIL_LINES = 15


def say(text: str) -> None:
    print(text, flush=True)


def duration(seconds: float) -> str:
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


class Progress:
    """One line that is rewritten on a terminal and repeated elsewhere."""

    def __init__(self) -> None:
        self.on_terminal = sys.stdout.isatty()
        self.interval = 1.0 if self.on_terminal else 15.0
        self.start = self.shown = time.monotonic()

    def update(self, text: str) -> None:
        now = time.monotonic()
        if now - self.shown < self.interval:
            return
        self.shown = now
        line = f'      {duration(now - self.start)}  {text}'[:78]
        print(
            f'\r{line:<78}' if self.on_terminal else line,
            end='' if self.on_terminal else '\n',
            flush=True,
        )

    def close(self) -> None:
        if self.on_terminal:
            print('\r' + ' ' * 78, end='\r', flush=True)


def run(
    command: list[str],
    *,
    log: Path,
    status: Callable[[], str] | None = None,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    keep_open: tuple[int, ...] = (),
) -> None:
    """Runs a command to its end.

    Args:
        command (list[str]): The command.
        log (Path): File that its output is added to.
        status (Callable, optional): Gives the progress line; default: the
            last line of the log.
        cwd (Path, optional): Folder to run in.
        env (dict[str, str], optional): Variables added to the environment.
        keep_open (tuple[int, ...]): File descriptors that it inherits.

    Raises:
        SetupError: It failed; the text ends with the tail of its output.
    """
    status = status or (lambda: last_lines(log, 1))
    progress = Progress()
    with log.open('a') as output:
        output.write(f'\n$ {" ".join(command)}\n')
        output.flush()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**clean_environment(), **(env or {})},
            start_new_session=True,
            pass_fds=keep_open,
        )
        try:
            while process.poll() is None:
                time.sleep(0.2)
                progress.update(status())
        finally:
            progress.close()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    if process.returncode:
        tail = last_lines(log, TAIL_LINES)
        if 'No space left on device' in tail:
            raise SetupError(f'the disk is full; the whole log is in {log}')
        raise SetupError(
            f'this command failed ({process.returncode}): '
            f'{" ".join(command)}\n{tail}\nThe whole log is in {log}'
        )


def clean_environment() -> dict[str, str]:
    """The environment without what would leak into another Python."""
    dropped = ('PYTHONPATH', 'PYTHONHOME', 'PIP_USER', 'PIP_TARGET')
    kept = {k: v for k, v in os.environ.items() if k not in dropped}
    return {**kept, 'PIP_DISABLE_PIP_VERSION_CHECK': '1', 'PIP_USER': '0'}


def last_lines(file: Path, count: int) -> str:
    with file.open('rb') as log:
        log.seek(max(0, file.stat().st_size - 20_000))
        text = log.read().decode(errors='replace')
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return '\n'.join(lines[-count:]).strip()


@contextlib.contextmanager
def locked(file: Path) -> Iterator[int]:
    """Holds a lock, after waiting for another set-up that has it.

    Yields:
        int: Its descriptor. A child that inherits it keeps the lock should
            this process be killed.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open('w') as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say('another set-up is at work here; waiting for it')
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()
