"""The experiments without a training: timings and limit_cases."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import torch

from . import limit_cases, timings
from .machine import describe_machine, describe_versions

__all__ = ['MEASUREMENTS', 'Measurement', 'take_measurement']


@dataclass(frozen=True)
class Measurement:
    """A table or figure that is computed in this process.

    Attributes:
        title (str): What it is about.
        claim (str): What the paper says about it.
        measure (Callable): Threads -> what JSON can hold.
        tabulate (Callable): That -> Markdown.
        draw (Callable): That, and the file of the figure -> None.
    """

    title: str
    claim: str
    measure: Callable[[int], list | dict]
    tabulate: Callable[[list | dict], str]
    draw: Callable[[list | dict, Path], None]


MEASUREMENTS = dict(
    fig6=Measurement(
        'Time of matching by the number of predictions (Fig. 6)',
        'For 100 predictions the balanced algorithm is 2.6 ms slower than the '
        'Hungarian one (SciPy), for 300 it is 1.5 ms faster, and for more it '
        'is over 50 times as fast: on a GPU, the transfer of the costs '
        'included, batches of 16 images of COCO, 20 iterations.',
        timings.measure_growth,
        timings.tabulate_growth,
        timings.draw_growth,
    ),
    table4=Measurement(
        'The phases of a training step of SSD300 (Table 4)',
        'OT takes less than the Hungarian algorithm: 1.1 and 1.5 ms against '
        '18.3 ms, the two-stage matching 2.3 ms, on a GPU with batches of 16.',
        timings.measure_step,
        timings.tabulate_step,
        timings.draw_step,
    ),
    prop=Measurement(
        'Limit cases (Prop. 1 to 4, Fig. 4, 7 and 8)',
        'Hungarian, closest ground truth and closest prediction are the '
        'limits for epsilon to 0; with one mass constraint the solution is a '
        'softmax, and one iteration from both duals is the dual softmax.',
        limit_cases.measure,
        limit_cases.tabulate,
        limit_cases.draw,
    ),
)


def take_measurement(
    name: str, folder: Path, *, threads: int, start: bool
) -> None:
    """Measures unless there is a result; writes table and figure.

    Args:
        name (str): In ``MEASUREMENTS``.
        folder (Path): For ``NAME.json``, ``NAME.md`` and ``NAME.png``.
        threads (int): Threads of torch.
        start (bool): Whether to measure where there is no result.
    """
    measurement = MEASUREMENTS[name]
    file = folder / f'{name}.json'
    if file.is_file():
        result = json.loads(file.read_text())
    elif start:
        torch.set_num_threads(threads)
        began = time.monotonic()
        values = measurement.measure(threads)
        result = dict(
            name=name,
            seconds=round(time.monotonic() - began, 1),
            threads=threads,
            machine=describe_machine('cpu'),
            versions=describe_versions(),
            finished=datetime.now(timezone.utc).isoformat(timespec='seconds'),
            values=values,
        )
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result, indent=2, allow_nan=False)
        file.write_text(text + '\n')
    else:
        return
    report = file.with_suffix('.md')
    report.write_text(_format(name, measurement, result))
    print(f'table: {report}')
    measurement.draw(result['values'], file.with_suffix('.png'))
    print(f'picture: {file.with_suffix(".png")}')


def _format(name: str, measurement: Measurement, result: dict) -> str:
    known = {**result['machine'], **result['versions']}
    parts = [
        f'# {measurement.title}',
        f'The paper: {measurement.claim}',
        measurement.tabulate(result['values']),
        f'![{name}]({name}.png)',
        f'`python tools/reproduce.py {name}`: {result["seconds"]:.0f} s with '
        f'{result["threads"]} threads. Machine and versions: '
        + ', '.join(f'{key} {value}' for key, value in known.items())
        + '.',
    ]
    return '\n\n'.join(parts) + '\n'
