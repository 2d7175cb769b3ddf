"""Fig. 6 and Table 4, by the functions of the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarking.competitors import HUNGARIAN, OURS
from benchmarking.figures import save_growth, save_training_step
from benchmarking.growth import NUM_PREDS, GrowthPoint, time_growth
from benchmarking.timing import Clock, Time
from benchmarking.training_step import (
    MATCHINGS,
    ONCE,
    Phase,
    TrainingStep,
    step_ms,
    time_training_step,
)
from tqdm import tqdm

from .markdown import NOTHING, table

__all__ = [
    'draw_growth',
    'draw_step',
    'measure_growth',
    'measure_step',
    'tabulate_growth',
    'tabulate_step',
]

NUM_IMAGES = 16
NUM_OBJECTS = (10, 30, 100)
# Milliseconds, of OT, unbalanced OT, Hungarian and two-stage.
PAPER = dict(
    data=(6.3,) * 4,
    anchors=(54.2,) * 4,
    forward=(5.8,) * 4,
    costs=(4.2,) * 4,
    matching=(1.1, 1.5, 18.3, 2.3),
    losses=(11.6, 11.6, 9.7, 9.7),
    backward=(8.2,) * 4,
)


def measure_growth(
    threads: int,
    *,
    num_objects: Sequence[int] = NUM_OBJECTS,
    num_preds: Sequence[int] = NUM_PREDS,
    repeats: int = 5,
) -> list[dict]:
    """Times our solver and the Hungarian algorithm by size.

    Args:
        threads (int): Threads of torch.
        num_objects (Sequence[int]): Objects of an image. Defaults to 10, 30
            and 100.
        num_preds (Sequence[int]): Predictions. Defaults to those of the
            benchmark.
        repeats (int): See ``Clock``. Defaults to 5.

    Returns:
        list[dict]: The ``GrowthPoint`` of each solver and size.
    """
    points = time_growth(
        num_objects,
        Clock(repeats, threads),
        num_preds=num_preds,
        num_images=NUM_IMAGES,
    )
    total = 2 * len(num_objects) * len(num_preds)
    return [asdict(x) for x in tqdm(points, total=total, unit='time')]


def tabulate_growth(values: list[dict]) -> str:
    """Times by size, side by side."""
    times = {
        (x.solver, x.num_objects, x.num_preds): x.time.ms
        for x in _points(values)
    }
    sizes = dict.fromkeys((m, n) for _, m, n in times)
    return table(
        ['objects', 'predictions', 'ours, ms', 'Hungarian (SciPy), ms', ''],
        (
            [
                str(m),
                f'{n:,}',
                f'{times[OURS, m, n]:,.2f}',
                f'{times[HUNGARIAN, m, n]:,.2f}',
                f'{times[HUNGARIAN, m, n] / times[OURS, m, n]:.2f} x',
            ]
            for m, n in sizes
        ),
    )


def draw_growth(values: list[dict], path: Path) -> None:
    """Time against the number of predictions."""
    save_growth(_points(values), NUM_IMAGES, path)


def measure_step(
    threads: int, *, num_images: int = NUM_IMAGES, repeats: int = 5
) -> list[dict]:
    """Times the phases of a training step.

    Args:
        threads (int): Threads of torch.
        num_images (int): Batch size. Defaults to 16.
        repeats (int): See ``Clock``. Defaults to 5.

    Returns:
        list[dict]: The ``Phase`` of each row.
    """
    with TemporaryDirectory() as folder:
        step = TrainingStep(folder, num_images=num_images)
        phases = time_training_step(step, Clock(repeats, threads))
        return [
            asdict(x) for x in tqdm(phases, total=len(PAPER), unit='phase')
        ]


def tabulate_step(values: list[dict]) -> str:
    """Milliseconds of each phase beside the paper's."""
    phases = _phases(values)
    rows = [
        [
            f'{phase.name}{" (once)" * (phase.name == ONCE)}',
            *(f'{time.ms:,.2f}' for time in phase.times.values()),
            *(f'{ms}' for ms in PAPER[phase.name]),
        ]
        for phase in phases
    ]
    sums = [f'{step_ms(phases, name):,.2f}' for name in MATCHINGS]
    total = [f'step, without {ONCE}', *sums, *[NOTHING] * len(MATCHINGS)]
    header = ['ms', *MATCHINGS, *(f'paper: {name}' for name in MATCHINGS)]
    return table(header, [*rows, total])


def draw_step(values: list[dict], path: Path) -> None:
    """The phases as bars."""
    save_training_step(_phases(values), NUM_IMAGES, path)


def _points(values: list[dict]) -> list[GrowthPoint]:
    return [GrowthPoint(**{**x, 'time': Time(**x['time'])}) for x in values]


def _phases(values: list[dict]) -> list[Phase]:
    return [
        Phase(x['name'], {key: Time(**t) for key, t in x['times'].items()})
        for x in values
    ]
