"""Weights as a heat map whose last column is the background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize

from .style import BACKGROUND, GRAY, letters

__all__ = ['LEAST_NUMBER', 'add_mass_bar', 'label_cells', 'show_weights']

MASS = 'mass $N P_{ij}$'
COLORS = 'Blues'
GRAYS = LinearSegmentedColormap.from_list('grays', ['white', GRAY])
# Less is written as 0.00.
LEAST_NUMBER = 0.005


def show_weights(
    axes: Axes,
    weights: np.ndarray,
    names: Sequence[object],
    *,
    numbers: bool = False,
    most_names: int = 35,
) -> None:
    """Shows weights as two heat maps from 0 (white) to 1 (dark).

    Args:
        axes (Axes): Where.
        weights (np.ndarray): (n, M + 1); the last column, the background, is
            the second heat map, in gray.
        names (Sequence[object]): n names of the rows.
        numbers (bool): Whether to write the weights into the cells. Defaults
            to False.
        most_names (int): Most names of ground truths that have room. Defaults
            to 35.
    """
    M = weights.shape[1] - 1
    # Without predictions: one empty row.
    rows = weights if len(weights) else np.full((1, M + 1), np.nan)
    is_background = np.arange(M + 1) == M
    for part, cmap in ((False, COLORS), (True, GRAYS)):
        axes.imshow(
            np.where(is_background == part, rows, np.nan),
            cmap=cmap,
            vmin=0,
            vmax=1,
            aspect='auto',
            interpolation='nearest',
        )
    label_cells(axes, names, M, most_names)
    for (row, column), mass in np.ndenumerate(weights):
        if numbers and mass >= LEAST_NUMBER:
            axes.text(
                column,
                row,
                f'{mass:.2f}',
                ha='center',
                va='center',
                fontsize='small',
                color='white' if mass > 0.6 and column < M else 'black',
            )


def add_mass_bar(
    axes: Axes, bounds: tuple[float, float, float, float]
) -> None:
    """Says which colour is which mass; bounds are x, y, width, height."""
    axes.figure.colorbar(
        ScalarMappable(Normalize(0, 1), COLORS),
        cax=axes.inset_axes(bounds),
        orientation='horizontal',
        label=MASS,
    )


def label_cells(
    axes: Axes, rows: Sequence[object], num_gts: int, most_names: int
) -> None:
    """Names the rows and columns of a heat map, the last one background.

    Where there is no room for all, only every second, third and so on.
    """
    axes.axvline(num_gts - 0.5, color='black', lw=1)
    step = -(-num_gts // most_names) or 1
    axes.set_xticks(
        [*range(0, num_gts, step), num_gts],
        [*letters(num_gts)[::step], BACKGROUND],
    )
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0, labelsize='small')
