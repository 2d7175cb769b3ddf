"""A job that is being done."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Mapping, Sequence

from filelock import FileLock, Timeout

from .commands import (
    environment,
    show_command,
    test_command,
    train_command,
)
from .job import Job
from .result import last_iteration, read_metrics

__all__ = ['JobError', 'Start', 'Worker', 'start_process']

# Time to end by themselves before they are killed.
GRACE_SECONDS = 10.0
LAST_LINES = 3

Start = Callable[[Sequence[str], Mapping[str, str], Path], subprocess.Popen]


class JobError(Exception):
    """A job that ended without a result."""


def start_process(
    command: Sequence[str], variables: Mapping[str, str], log: Path
) -> subprocess.Popen:
    """Starts a command in a process group of its own.

    Args:
        command (Sequence[str]): Program and arguments.
        variables (Mapping[str, str]): Added to the environment.
        log (Path): What it prints is appended to this.

    Returns:
        subprocess.Popen: The process.
    """
    with log.open('a') as file:
        file.write(f'$ {show_command(command, variables)}\n')
        file.flush()
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **variables},
            start_new_session=True,
        )


class Worker:
    """A job that is being done: its steps, one process after the other.

    Args:
        job (Job): The job.
        threads (int): Threads of each process.
        start (Callable): See :func:`start_process`.

    Raises:
        JobError: If another process does the same job.
    """

    def __init__(self, job: Job, threads: int, start: Start) -> None:
        job.claim_work_dir()
        self.job = job
        self.variables = environment(job, threads)
        self.start = start
        self.log = job.work_dir / 'console.log'
        self.lock = FileLock(job.work_dir / '.lock')
        try:
            self.lock.acquire(timeout=0)
        except Timeout as error:
            raise JobError(f'{job.name}: another process does it') from error
        self.is_fresh = last_iteration(job.work_dir) == 0
        self.began = time.monotonic()
        self.process: subprocess.Popen | None = None
        self.steps = self._steps()
        self.advance()

    def _steps(self) -> Iterator[list[str]]:
        if not self.job.is_trained():
            yield train_command(self.job)
        for name in self.job.run.evaluations:
            if read_metrics(self.job.evaluation_dir(name)) is None:
                yield test_command(self.job, name)

    def advance(self) -> bool:
        """Starts what is next when the last is done.

        Returns:
            bool: Whether all is done.

        Raises:
            JobError: If a process has failed.
        """
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return False
            if code != 0:
                raise JobError(self._describe(code))
        command = next(self.steps, None)
        if command is None:
            return True
        self.process = self.start(command, self.variables, self.log)
        return False

    def _describe(self, code: int) -> str:
        lines = self.log.read_text(errors='replace').split('\n')
        last = [line.strip() for line in lines if line.strip()][-LAST_LINES:]
        return '\n    '.join(
            [f'{self.job.name}: exit status {code}, see {self.log}', *last]
        )

    @property
    def wall_seconds(self) -> float | None:
        """Since the start, where that was the start of the training."""
        seconds = time.monotonic() - self.began
        return round(seconds, 1) if self.is_fresh else None

    def close(self) -> None:
        """Ends the process, with all that it has started."""
        process = self.process
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.lock.release()
