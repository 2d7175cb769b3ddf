"""The figure of an experiment that takes trainings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mmdet_uot.visualization.style import COLORS, new_figure

from .experiment import Experiment
from .report import TITLES
from .row_results import METRICS, RowResults, evaluations_of

__all__ = ['draw_experiment']

OURS = dict(ls='-', marker='o')
PAPER = dict(ls='--', marker='s', mfc='white')
ROWS_OF_SMALL_TICKS = 10
# From here on the panels lie one above the other.
ROWS_OF_WIDE_PANELS = 15
# Longer settings stand one below the other.
LONGEST_TICK = 12


def draw_experiment(
    experiment: Experiment, rows: Sequence[RowResults]
) -> Figure:
    """Draws what there is of an experiment.

    Args:
        experiment (Experiment): The experiment.
        rows (Sequence[RowResults]): Its rows.

    Returns:
        Figure: With the axes ``AP``, and ``AR`` unless it is AP by epoch.
    """
    if experiment.by_epoch:
        return _draw_curves(experiment, rows)
    settings = [row.row.cells[-1] for row in rows]
    if max(map(len, settings)) > LONGEST_TICK:
        return _draw_list(experiment, rows)
    return _draw_rows(experiment, rows)


def _draw_rows(experiment: Experiment, rows: Sequence[RowResults]) -> Figure:
    is_wide = len(rows) >= ROWS_OF_WIDE_PANELS
    figure = new_figure(6.5 if is_wide else 3.8)
    figure.suptitle(experiment.title)
    evaluations = evaluations_of(rows)
    panels = figure.subplots(*(2, 1) if is_wide else (1, 2))
    for axes, metric in zip(panels, METRICS):
        axes.set(label=metric, title=f'{metric} (%)')
        for evaluation, color in zip(evaluations, COLORS):
            _draw_line(axes, rows, evaluation, metric, color)
        is_dense = not is_wide and len(rows) >= ROWS_OF_SMALL_TICKS
        size = 'x-small' if is_dense else 'medium'
        axes.set_xticks(range(len(rows)), _ticks(rows), fontsize=size)
        axes.set_xlabel(experiment.header[-1])
        axes.grid(alpha=0.3)
    handles = [
        Line2D([], [], color=color, **OURS, label=TITLES[evaluation] or 'ours')
        for evaluation, color in zip(evaluations, COLORS)
    ]
    if any(row.row.paper for row in rows):
        handles.append(Line2D([], [], color='0.4', **PAPER, label='paper'))
    figure.legend(handles=handles, loc='outside lower center', ncols=3)
    return figure


def _draw_list(experiment: Experiment, rows: Sequence[RowResults]) -> Figure:
    """Names on the left, numbers of all seeds on the right."""
    drawn = [row for row in rows if row.results]
    figure = new_figure(1.4 + 0.23 * len(drawn))
    figure.suptitle(experiment.title)
    evaluations = evaluations_of(drawn)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, metric in zip(panels, METRICS):
        axes.set(label=metric, title=f'{metric} (%)')
        for y, row in enumerate(drawn):
            for evaluation, color in zip(evaluations, COLORS):
                numbers = row.measured(evaluation, metric)
                axes.plot(numbers, [y] * len(numbers), 'o', ms=5, color=color)
        axes.grid(alpha=0.3)
    panels[0].set_yticks(
        range(len(drawn)),
        [', '.join(row.row.cells) for row in drawn],
        fontsize='small',
    )
    panels[0].set_ylim(len(drawn) - 0.5, -0.5)
    figure.legend(
        handles=[
            Line2D([], [], color=color, ls='', marker='o', label=TITLES[name])
            for name, color in zip(evaluations, COLORS)
        ],
        loc='outside lower center',
        ncols=2,
    )
    return figure


def _draw_line(
    axes: Axes,
    rows: Sequence[RowResults],
    evaluation: str,
    metric: str,
    color: str,
) -> None:
    for series in _series(rows):
        means, paper = [], []
        for x in series:
            numbers = rows[x].measured(evaluation, metric)
            if numbers:
                means.append((x, sum(numbers) / len(numbers)))
                axes.plot([x] * len(numbers), numbers, '_', ms=14, color=color)
            theirs = rows[x].paper(evaluation, metric)
            if theirs is not None:
                paper.append((x, theirs))
        if means:
            axes.plot(*zip(*means), color=color, **OURS)
        if paper:
            style = dict(PAPER, color=color, alpha=0.5)
            axes.plot(*zip(*paper), **style)


def _series(rows: Sequence[RowResults]) -> list[list[int]]:
    """Rows to join by a line: those of a kind, or all if a kind has one."""
    kinds = [row.row.cells[0] for row in rows]
    groups = [
        [*found] for _, found in groupby(range(len(rows)), kinds.__getitem__)
    ]
    if all(len(group) > 1 for group in groups):
        return groups
    return [[*range(len(rows))]]


def _ticks(rows: Sequence[RowResults]) -> list[str]:
    """The setting, or the name of the matching where it has none."""
    ticks = [
        # A variant of the matching stands lower, or they would touch.
        re.sub('.*, ', '\n', kind) if setting == '–' else setting
        for kind, *_, setting in (row.row.cells for row in rows)
    ]
    series = _series(rows)
    if len(series) > 1:
        for indices in series:
            middle = indices[len(indices) // 2]
            ticks[middle] += f'\n{rows[middle].row.cells[0]}'
    return ticks


def _draw_curves(experiment: Experiment, rows: Sequence[RowResults]) -> Figure:
    figure = new_figure(4.5)
    axes = figure.add_subplot(label='AP', xlabel='epoch', ylabel='AP (%)')
    axes.set_title(experiment.title)
    drawn = [row for row in rows if row.results]
    for row, color in zip(drawn, COLORS):
        for index, result in enumerate(row.results.values()):
            curve = result['curve']
            axes.plot(
                curve['epochs'],
                curve['AP'],
                color=color,
                marker='.',
                label=row.row.label if index == 0 else None,
            )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if drawn:
        axes.legend()
    return figure
