"""Measures and says so: a line for each result as soon as it is there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, replace

import torch

from .algorithm import accuracy, unconverged
from .cases import Case
from .competitors import Call, calls
from .growth import GrowthPoint
from .losses import NUM_CLASSES, LossTime
from .memory import peak_memory, process_peak
from .task import Task
from .timing import Clock, Time
from .training_step import MATCHINGS, ONCE, Phase, step_ms

__all__ = [
    'LEGEND',
    'report_case',
    'report_environment',
    'report_growth',
    'report_losses',
    'report_training_step',
]

LEGEND = """\
Times are medians, with quartiles. "x" is the time divided by that of the first
line of its block, which is ours.
- solve: from costs (images x predictions x columns, the last one background)
  that are there already to the plan or the assignment. SciPy gets float32
  costs on the host, without padding and background. "Reads of the kernel" is
  the bound of any such iteration: per iteration two row-vector products
  torch.bmm(v[:, None], K) with the float32 kernel (images, columns,
  predictions), each of which reads it once.
- costs + solve: from predictions and ground truths to the plan of the batch,
  or to mmdet's AssignResult of each image (and layer)."""


def report_environment(values: dict[str, str | int]) -> None:
    """Prints the machine and the versions."""
    print(', '.join(f'{name}: {value}' for name, value in values.items()))
    print(LEGEND)


def report_case(
    name: str, case: Case, clock: Clock, device: torch.device
) -> dict:
    """Measures one workload.

    Args:
        name (str): What it is called.
        case (Case): What is matched.
        clock (Clock): What takes the times.
        device (torch.device): Where the tensors are.

    Returns:
        dict: Sizes and numbers of the task, times of all competitors,
        accuracy and peak memory, for JSON.
    """
    task = case.task
    size = list(task.problem.cost.shape)
    shape = ' x '.join(f'{length:,}' for length in size)
    print(
        f'\n{name}: {shape}, epsilon = {task.epsilon:.4f}, '
        f'tau1 = {task.tau1:g}, tau2 = {task.tau2:g}, '
        f'{task.num_iters} iterations'
    )
    solve = _report_times('solve', calls(task), clock)
    match = _report_times('costs + solve', case.calls.items(), clock)
    errors = accuracy(task)
    print(
        '  accuracy: greatest difference of N P from Algorithm 1/2 in '
        f'float64: {errors["ours"]:.1e}; the same in float32: '
        f'{errors["as_printed"]:.1e}'
    )
    converged = _report_convergence(task)
    matrix = 4 * math.prod(size)
    ours = next(iter(case.calls.values()))
    peak, grown = peak_memory(ours, device), process_peak(ours)
    print(
        f'  memory: costs + solve take at most {peak / matrix:.2f} x the '
        f'float32 cost matrix of {matrix / 2**20:.1f} MiB'
    )
    if grown is not None:
        print(f'  memory: the process grows by {grown / 2**20:.1f} MiB')
    return dict(
        size=size,
        epsilon=task.epsilon,
        tau1=f'{task.tau1:g}',  # JSON has no infinity
        tau2=f'{task.tau2:g}',
        num_iters=task.num_iters,
        solve=solve,
        costs_and_solve=match,
        accuracy={
            key: value if math.isfinite(value) else None  # as for the taus
            for key, value in errors.items()
        },
        unconverged=converged,
        cost_matrix_bytes=matrix,
        peak_bytes=peak,
        process_peak_bytes=grown,
    )


def _report_convergence(task: Task) -> list[dict]:
    rows = []
    balanced = replace(task, tau1=math.inf, tau2=math.inf)
    cases = {'as configured': task, 'balanced': balanced}
    if task.balanced:
        del cases['as configured']
    for name, case in cases.items():
        for relaxation, share in unconverged(case).items():
            print(
                f'  after {task.num_iters} iterations, {name}, relaxation '
                f'{relaxation:g}: {100 * share["mean"]:.2f} % of the '
                f'foreground mass elsewhere, at most '
                f'{100 * share["worst"]:.2f} %'
            )
            rows.append(dict(name=name, relaxation=relaxation, **share))
    return rows


def _report_times(
    title: str, competitors: Iterable[tuple[str, Call]], clock: Clock
) -> list[dict]:
    print(f'  {title}')
    rows: list[dict] = []
    for name, call in competitors:
        time = clock(call)
        ratio = time.ms / rows[0]['ms'] if rows else 1.0
        print(f'    {name:40}{_milliseconds(time)}{ratio:9.2f} x', flush=True)
        rows.append(dict(name=name, **asdict(time), ratio=ratio))
    return rows


def report_growth(points: Iterable[GrowthPoint]) -> list[GrowthPoint]:
    """Prints times by size."""
    print('\ngrowth with N: balanced, L1 distances of random boxes')
    kept: list[GrowthPoint] = []
    for point in points:
        kept.append(point)
        size = f'M = {point.num_objects}, N = {point.num_preds:,}'
        rate = 1e3 * point.time.ms / point.num_preds
        print(
            f'    {point.solver:40}{size:24}{_milliseconds(point.time)}'
            f'{rate:9.3f} ms per 1,000 predictions',
            flush=True,
        )
    return kept


def report_training_step(phases: Iterable[Phase]) -> list[Phase]:
    """Prints Table 4, in Markdown, a row for each phase."""
    print('\na training step of SSD300 in ms, CPU config\n')
    print(_table_row('phase', MATCHINGS))
    print('|---' * (len(MATCHINGS) + 1) + '|')
    kept: list[Phase] = []
    for phase in phases:
        kept.append(phase)
        title = f'{phase.name}{" (once)" * (phase.name == ONCE)}'
        times = [f'{time.ms:,.2f}' for time in phase.times.values()]
        print(_table_row(title, times), flush=True)
    sums = [f'{step_ms(kept, name):,.2f}' for name in MATCHINGS]
    print(_table_row(f'step, without {ONCE}', sums))
    return kept


def report_losses(times: Iterable[LossTime]) -> list[LossTime]:
    """Prints what the losses of the DETR heads take."""
    print(
        '\nloss_by_feat of the queries, forward and backward, '
        f'{NUM_CLASSES} classes'
    )
    kept: list[LossTime] = []
    for time in times:
        kept.append(time)
        shape = ' x '.join(f'{length:,}' for length in time.shape)
        for name, head in (('ours', time.ours), ("mmdet's", time.stock)):
            ratio = head.ms / time.ours.ms
            print(
                f'    {time.name}, {name:20}{shape:24}{_milliseconds(head)}'
                f'{ratio:9.2f} x',
                flush=True,
            )
    return kept


def _table_row(title: str, cells: Iterable[str]) -> str:
    return f'| {" | ".join([title, *cells])} |'


def _milliseconds(time: Time) -> str:
    quartiles = f'({time.lower_ms:,.2f} to {time.upper_ms:,.2f})'
    return f'{time.ms:10,.2f} ms {quartiles:28}'
