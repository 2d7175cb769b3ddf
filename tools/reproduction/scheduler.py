"""Does jobs, several at a time, and leaves no process behind."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from .job import Job
from .result import last_iteration, read_metrics, save_result
from .worker import JobError, Start, Worker, start_process

__all__ = ['do_jobs', 'done_images']

POLL_SECONDS = 1.0


def done_images(job: Job) -> int:
    """How much of :attr:`Job.total_images` is done."""
    if job.result_file.is_file():
        return job.total_images
    train, val = job.num_images
    evaluated = sum(
        read_metrics(job.evaluation_dir(name)) is not None
        for name in job.run.evaluations
    )
    if job.is_trained():
        return job.epochs * train + evaluated * val
    done = last_iteration(job.work_dir) * job.batch_size
    return min(done, job.epochs * train)


def do_jobs(
    jobs: Sequence[Job],
    *,
    at_a_time: int,
    threads: int,
    start: Start = start_process,
    poll_seconds: float = POLL_SECONDS,
) -> list[str]:
    """Does all jobs that have no result yet.

    Args:
        jobs (Sequence[Job]): The jobs, in their order.
        at_a_time (int): Most at a time.
        threads (int): Threads of each process.
        start (Callable): See :func:`start_process`, the default.
        poll_seconds (float): Between two looks at the processes. Defaults to
            1.

    Returns:
        list[str]: What failed, a text each.

    Raises:
        ValueError: If results or work directories were made with other
            options.
        KeyboardInterrupt: At Ctrl-C or SIGTERM, after all processes ended.
    """
    waiting = [job for job in jobs if job.read_result() is None]
    active: list[Worker] = []
    failures: list[str] = []
    with _interruptible(), _progress_bar(jobs) as bar:
        try:
            while waiting or active:
                while waiting and len(active) < at_a_time:
                    job = waiting.pop(0)
                    # Another process may have done it meanwhile.
                    if job.read_result() is not None:
                        continue
                    try:
                        active.append(Worker(job, threads, start))
                    except JobError as error:
                        failures.append(str(error))
                for worker in [*active]:
                    try:
                        if not worker.advance():
                            continue
                    except JobError as error:
                        failures.append(str(error))
                        bar.write(f'failed: {error}', file=sys.stderr)
                    else:
                        bar.write(_finish(worker, threads, at_a_time))
                    worker.close()
                    active.remove(worker)
                bar.set_postfix_str(
                    f'{len(active)} running, {len(waiting)} waiting',
                    refresh=False,
                )
                bar.update(sum(map(done_images, jobs)) - bar.n)
                if active:
                    time.sleep(poll_seconds)
        finally:
            for worker in active:
                worker.close()
    return failures


def _finish(worker: Worker, threads: int, at_a_time: int) -> str:
    result = save_result(
        worker.job,
        threads=threads,
        jobs=at_a_time,
        wall_seconds=worker.wall_seconds,
    )
    numbers = '; '.join(
        f'{name}: AP {found["AP"]}, AR {found["AR"]}'
        for name, found in result['metrics'].items()
    )
    return f'{worker.job.name}: {numbers}'


def _progress_bar(jobs: Sequence[Job]) -> tqdm:
    return tqdm(
        total=sum(job.total_images for job in jobs),
        initial=sum(map(done_images, jobs)),
        unit='image',
        unit_scale=True,
        smoothing=0,
        miniters=1,
        # A file gets a line per minute.
        mininterval=1 if sys.stderr.isatty() else 60,
    )


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a lost terminal end this as Ctrl-C does."""

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        # nohup has it ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
