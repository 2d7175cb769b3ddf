"""Losses and metrics of several trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle, zip_longest

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .logs import TrainingLog
from .style import COLORS, new_figure

__all__ = ['draw_curves']

COLUMNS = 3
LEGEND_COLUMNS = 3
MOST_MARKERS = 20
LINES = ('-', '--', '-.', ':')
MARKERS = 'os^Dv'


def draw_curves(
    logs: Mapping[str, TrainingLog], keys: Sequence[str] | None = None
) -> Figure:
    """Draws the curves of several trainings (Fig. 5, 12 and 13).

    Args:
        logs (Mapping[str, TrainingLog]): Per label.
        keys (Sequence[str], optional): Names of the curves, one panel each.
            Defaults to the losses (of a decoder's last layer) and the mAP.

    Returns:
        Figure: With one axes per key.

    Raises:
        ValueError: If no training has a key.
    """
    known = dict.fromkeys(name for log in logs.values() for name in log.curves)
    keys = keys or [
        name
        for name in known
        if name.startswith('loss') or name.endswith('mAP')
    ]
    unknown = [key for key in keys if key not in known]
    if unknown or not keys:
        raise ValueError(
            f'no training has logged {unknown or "a loss or mAP"}; there are: '
            f'{", ".join(known)}'
        )
    styles = [
        dict(color=color, ls=line, marker=marker)
        for color, line, marker, _ in zip(
            cycle(COLORS), cycle(LINES), cycle(MARKERS), logs
        )
    ]
    columns = min(COLUMNS, len(keys))
    rows = -(-len(keys) // columns)
    legend_rows = -(-len(logs) // LEGEND_COLUMNS)
    figure = new_figure(0.4 + 0.25 * legend_rows + 2.5 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes, key in zip_longest(grid, keys):
        if key is None:
            axes.remove()
            continue
        axes.set(label=key, title=key)
        drawn = [
            (log, style)
            for log, style in zip(logs.values(), styles)
            if key in log.curves
        ]
        for log, style in drawn:
            steps, values = log.curves[key]
            few = len(steps) <= MOST_MARKERS
            axes.plot(steps, values, **style, ms=4 if few else 0)
        axes.set_xlabel(' or '.join(dict.fromkeys(x.unit for x, _ in drawn)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _show_zero(axes, [v for x, _ in drawn for v in x.curves[key].values])
        axes.grid(alpha=0.3)
    figure.legend(
        handles=[
            Line2D([], [], **style, ms=4, label=label)
            for label, style in zip(logs, styles)
        ],
        loc='outside upper center',
        ncols=LEGEND_COLUMNS,
    )
    return figure


def _show_zero(axes: Axes, values: Sequence[float]) -> None:
    """Lets the axis begin below zero and end above all values."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min([0, *finite]), max([0, *finite])
    margin = 0.06 * (high - low) or 1
    axes.set_ylim(low - margin / 2, high + margin)
