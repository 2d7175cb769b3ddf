"""Reads what a finished job has given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from mmdet_uot.visualization.logs import LOGS, read_log

from .commands import (
    environment,
    show_command,
    test_command,
    train_command,
)
from .job import Job
from .machine import describe_machine, describe_versions

__all__ = ['last_iteration', 'read_metrics', 'save_result']

# As mmdet's CocoMetric names them, after `coco/bbox_`.
METRIC_NAMES = {
    'AP': 'mAP',
    'AP50': 'mAP_50',
    'AR': 'AR@100',
    'AR@300': 'AR@300',
    'AR@1000': 'AR@1000',
}


def save_result(
    job: Job, *, threads: int, jobs: int, wall_seconds: float | None
) -> dict:
    """Writes the result of a job that has been trained and evaluated.

    Args:
        job (Job): The job.
        threads (int): Threads of each process.
        jobs (int): Jobs that were done at a time.
        wall_seconds (float, optional): From its start to its end; None if it
            was interrupted.

    Returns:
        dict: What was written.
    """
    variables = environment(job, threads)
    commands = [
        train_command(job),
        *(test_command(job, name) for name in job.run.evaluations),
    ]
    result = {
        **job.identity,
        'metrics': {
            name: read_metrics(job.evaluation_dir(name))
            for name in job.run.evaluations
        },
        'curve': read_curve(job.work_dir),
        **read_times(job.work_dir),
        'wall_seconds': wall_seconds,
        'epochs_of_config': job.full_epochs,
        'images': job.num_images[0],
        'threads': threads,
        'jobs': jobs,
        'machine': describe_machine(job.device),
        'versions': describe_versions(),
        'commands': [show_command(words, variables) for words in commands],
        'finished': datetime.now(timezone.utc).isoformat(timespec='seconds'),
    }
    job.result_file.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all.
    partial = job.result_file.with_suffix('.partial')
    partial.write_text(json.dumps(result, indent=2) + '\n')
    partial.replace(job.result_file)
    return result


def read_metrics(evaluation_dir: Path) -> dict[str, float] | None:
    """Percentages of the latest evaluation, or None without one."""
    files = sorted(evaluation_dir.glob('*/*.json'))
    if not files:
        return None
    found = json.loads(files[-1].read_text())
    # Without any detection there are no metrics.
    return {
        name: round(100 * found.get(f'coco/bbox_{theirs}', 0.0), 1)
        for name, theirs in METRIC_NAMES.items()
    }


def read_curve(work_dir: Path) -> dict[str, list[float]]:
    """AP and AP50 in percent by epoch, as evaluated while training."""
    curves = read_log(work_dir).curves
    if 'coco/bbox_mAP' not in curves:
        return dict(epochs=[], AP=[], AP50=[])
    ap, ap50 = curves['coco/bbox_mAP'], curves['coco/bbox_mAP_50']
    return dict(
        epochs=ap.steps,
        AP=[round(100 * value, 1) for value in ap.values],
        AP50=[round(100 * value, 1) for value in ap50.values],
    )


def read_times(work_dir: Path) -> dict[str, float]:
    """Iterations and seconds of one, without start and evaluation."""
    # Those of a resumed training replace what it repeats.
    rows = {row['iter']: row['time'] for row in _training_rows(work_dir)}
    return dict(
        iterations=max(rows),
        seconds_per_iteration=round(sum(rows.values()) / len(rows), 4),
    )


def last_iteration(work_dir: Path) -> int:
    """How far the training in a work directory has been logged."""
    return max((row['iter'] for row in _training_rows(work_dir)), default=0)


def _training_rows(work_dir: Path) -> list[Mapping]:
    return [row for file in sorted(work_dir.glob(LOGS)) for row in _rows(file)]


def _rows(file: Path) -> list[Mapping]:
    with file.open() as lines:
        # The last line of a training that goes on may be a part of one.
        rows = [json.loads(line) for line in lines if line.endswith('\n')]
    return [row for row in rows if 'iter' in row]
