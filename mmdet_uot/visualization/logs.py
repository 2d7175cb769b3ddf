"""What MMEngine has logged of a training."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

__all__ = ['Curve', 'TrainingLog', 'read_log']

LOGS = '*/vis_data/scalars.json'
NO_NUMBERS = ('epoch', 'iter', 'step', 'time', 'data_time')


class Curve(NamedTuple):
    """A logged number.

    Attributes:
        steps (list[int]): Epochs, or iterations where none are counted.
        values (list[float]): One per step; of training the mean of what was
            logged in the epoch.
    """

    steps: list[int]
    values: list[float]


class TrainingLog(NamedTuple):
    """What was logged in a work directory.

    Attributes:
        unit (str): 'epoch' or 'iteration'.
        curves (dict[str, Curve]): Per name, as ``loss`` or ``coco/bbox_mAP``.
    """

    unit: str
    curves: dict[str, Curve]


class Row(NamedTuple):
    """A line of a log."""

    step: int
    is_training: bool
    by_epoch: bool
    numbers: dict[str, float]


def read_log(work_dir: str | Path) -> TrainingLog:
    """Joins the logs of all runs in a work directory.

    A run that resumes another one replaces what that one logged from there
    on; so does one that starts anew.

    Args:
        work_dir (str | Path): That of `tools/train.py`.

    Returns:
        TrainingLog: At least one curve.

    Raises:
        ValueError: If there are no logs, or nothing is in them yet.
    """
    rows: list[Row] = []
    for file in sorted(Path(work_dir).glob(LOGS)):
        run = _read_run(file)
        start = min((r.step for r in run if r.is_training), default=math.inf)
        rows = [row for row in rows if row.step < start] + run
    values: dict[str, dict[int, list[float]]] = defaultdict(dict)
    for row in rows:
        for name, value in row.numbers.items():
            values[name].setdefault(row.step, []).append(value)
    if not values:
        raise ValueError(
            f'no logs in {str(work_dir)!r}: {LOGS} is missing or empty; give '
            'the work_dir of a training, which holds its checkpoints'
        )
    return TrainingLog(
        unit='epoch' if rows[0].by_epoch else 'iteration',
        curves={
            name: Curve(list(steps), [sum(v) / len(v) for v in steps.values()])
            for name, steps in values.items()
        },
    )


def _read_run(file: Path) -> list[Row]:
    rows: list[Row] = []
    with file.open() as lines:
        # The last line of a training that goes on may be a part of one.
        records = [json.loads(line) for line in lines if line.endswith('\n')]
    for record in records:
        numbers = {
            name: value
            for name, value in record.items()
            if name not in NO_NUMBERS and isinstance(value, (int, float))
        }
        if 'iter' in record:
            step = record.get('epoch', record['iter'])
            rows.append(Row(step, True, 'epoch' in record, numbers))
            continue
        # Evaluation counts epochs even where training counts iterations.
        by_epoch = not rows or rows[-1].by_epoch
        step = record['step'] if by_epoch else rows[-1].step
        rows.append(Row(step, False, by_epoch, numbers))
    return rows
