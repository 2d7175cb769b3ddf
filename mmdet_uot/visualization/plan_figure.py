"""A plan as a heat map between its two marginals."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..ot import TransportPlan
from .heat_map import LEAST_NUMBER, add_mass_bar, show_weights
from .matched_image import image_weights
from .rows import leading_rows, sort_rows
from .style import BACKGROUND, BLACK, BLUE, GRAY, new_figure

__all__ = ['draw_plan']

LEAST_ROWS = 9
MOST_COLUMNS_WITH_NUMBERS = 12


def draw_plan(
    plan: TransportPlan,
    *,
    index: int = 0,
    num_gts: int | None = None,
    max_rows: int = 30,
    title: str = 'Transport plan',
) -> Figure:
    r"""Draws a plan as a heat map with its two marginals (Fig. 1 and 10).

    Beside the rows are the sums :math:`N P 1`, above the columns the sums
    :math:`N P^\top 1` over all predictions, each with a mark at what was
    asked for, :math:`N \alpha` and :math:`N \beta`; of a range both ends are
    marked, and the line between them. Rows are sorted by the
    ground truth that they give most to; if not all fit, the heaviest of each
    ground truth is drawn, then the second heaviest of each, and so on.

    Args:
        plan (TransportPlan): Weights (B, N, M + 1).
        index (int): Which image of the plan. Defaults to 0.
        num_gts (int, optional): Ground truths of the image. Defaults to M.
        max_rows (int): Most predictions to draw. Defaults to 30.
        title (str): Heading. Defaults to 'Transport plan'.

    Returns:
        Figure: With the axes ``plan``, ``predictions`` and
        ``ground truths``.
    """
    weights = image_weights(plan, index, num_gts)
    M = weights.shape[1] - 1
    pred_mass = plan.pred_mass[index].cpu().numpy()
    asked = plan.gt_asked[:, index].cpu().numpy()
    asked = np.delete(asked, np.s_[M:-1], axis=1)
    # Padding and ignored predictions take no part.
    real = pred_mass.nonzero()[0]
    rows = real[_rows(weights[real], max_rows)]
    num_preds = len(real)

    height = 0.2 * max(len(rows), LEAST_ROWS)
    figure = new_figure(2.9 + height)
    figure.suptitle(title)
    grid = figure.add_gridspec(
        2,
        2,
        width_ratios=(3, 1),
        height_ratios=(1.1, height),
    )
    axes = figure.add_subplot(grid[1, 0], label='plan')
    show_weights(
        axes,
        weights[rows],
        rows,
        numbers=weights.shape[1] <= MOST_COLUMNS_WITH_NUMBERS,
    )
    axes.set(
        xlabel=f'ground truth ({BACKGROUND}: background)',
        ylabel=f'prediction ({len(rows)} of {num_preds} drawn)',
    )
    sent = figure.add_subplot(grid[1, 1], sharey=axes, label='predictions')
    _draw_rows(sent, weights[rows], num_preds * pred_mass[rows])
    received = figure.add_subplot(
        grid[0, 0], sharex=axes, label='ground truths'
    )
    _draw_columns(received, weights.sum(0), *asked)
    _draw_key(figure.add_subplot(grid[0, 1], label='key'), sent)
    return figure


def _rows(weights: np.ndarray, max_rows: int) -> np.ndarray:
    """Predictions to draw; if not all, then none without foreground mass."""
    foreground = weights[:, :-1]
    rows = leading_rows(foreground, max_rows)
    if len(weights) > max_rows:
        matched = foreground[rows].sum(1) >= LEAST_NUMBER
        rows = rows[: max(matched.sum(), 1)]
    return sort_rows(foreground, rows)


def _draw_columns(
    axes: Axes, sums: np.ndarray, least: np.ndarray, greatest: np.ndarray
) -> None:
    """Bars of the ground truths; a high one of the background is cut off."""
    M = len(sums) - 1
    ends = np.concatenate((least[:-1], greatest[:-1]))
    top = 1.4 * max([*sums[:-1], *ends[np.isfinite(ends)], 1])
    places = np.arange(M + 1)
    axes.bar(places, sums.clip(max=top), color=[*[BLUE] * M, GRAY])
    axes.hlines(least, places - 0.4, places + 0.4, color=BLACK, lw=2)
    is_range = greatest > least
    if is_range.any():
        low, high = least[is_range], greatest[is_range]
        middle = places[is_range]
        axes.hlines(high, middle - 0.4, middle + 0.4, color=BLACK, lw=2)
        axes.vlines(middle, low, high.clip(max=top), color=BLACK, lw=1)
    axes.set(ylim=(0, top), ylabel='received')
    axes.tick_params(labelbottom=False, bottom=False)
    if max(sums[-1], least[-1]) > top:
        asked = f'{least[-1]:,.1f}'
        if is_range[-1]:
            asked += f' to {greatest[-1]:,.1f}'
        axes.set_title(
            f'bar cut off: {sums[-1]:,.1f} received, {asked} asked for',
            loc='right',
            fontsize='small',
        )


def _draw_rows(axes: Axes, weights: np.ndarray, asked: np.ndarray) -> None:
    places = np.arange(len(weights))
    foreground = weights[:, :-1].sum(1)
    axes.barh(places, foreground, color=BLUE, label='ground truths')
    axes.barh(
        places, weights[:, -1], left=foreground, color=GRAY, label='background'
    )
    axes.vlines(
        asked,
        places - 0.4,
        places + 0.4,
        color=BLACK,
        lw=2,
        label='mass asked for',
    )
    right = 1.05 * max([*weights.sum(1), *asked, 1])
    axes.set(xlabel='sent', xlim=(0, right))
    axes.tick_params(labelleft=False, left=False)


def _draw_key(axes: Axes, bars: Axes) -> None:
    axes.set_axis_off()
    axes.legend(
        *bars.get_legend_handles_labels(),
        loc='upper left',
        fontsize='small',
        title='sent to, received by',
        title_fontsize='small',
    )
    add_mass_bar(axes, (0, 0, 1, 0.1))
