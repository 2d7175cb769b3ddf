"""How the match of one image changes from epoch to epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .links import add_ground_truths, show_faded
from .matched_image import MatchedImage
from .rows import leading_rows, sort_rows
from .style import BLUE, GRAY, VERMILLION, letters, new_figure

__all__ = ['draw_epochs', 'kept_mass', 'kept_share']

CELL = 0.9
LEAST_ROWS = 7
# Where no match stands out.
SPREAD_ROWS = 12
MOST_LINES = 40
# Of ground truths, in all columns together.
MOST_NAMES = 36
# Points; above two lines of a heading.
NAME_HEIGHT = 35


def draw_epochs(
    matchers: Mapping[str, Mapping[str, MatchedImage]],
    *,
    min_mass: float = 0.05,
    max_rows: int = 30,
    title: str = 'Who is matched to whom, epoch by epoch',
) -> Figure:
    """Draws how the matches of one image change over epochs (Fig. 10).

    A bar is as long as the mass between a prediction and a ground truth;
    blue is what was there in the epoch before, too. Where the mass is spread
    so that all bars would be too short, they are longer, as a note says.

    Args:
        matchers (Mapping[str, Mapping[str, MatchedImage]]): The image per
            matcher (a row) and epoch (a column), each matcher with as many.
        min_mass (float): Predictions that never give a ground truth more than
            this are left out, if any gives more. Defaults to 0.05.
        max_rows (int): Most predictions of a matcher to draw: the heaviest of
            each ground truth, then the second heaviest of each, and so on.
            Defaults to 30.
        title (str): Heading. Defaults to 'Who is matched to whom, epoch by
            epoch'.

    Returns:
        Figure: With the axes ``image`` and ``<matcher>, <epoch>``.

    Raises:
        ValueError: If the matches are not of one image, or those of a matcher
            not of one model.
    """
    weights = {
        matcher: _stack(list(epochs.values()))
        for matcher, epochs in matchers.items()
    }
    rows = {
        matcher: _rows(stack, min_mass, max_rows)
        for matcher, stack in weights.items()
    }
    scales = {
        matcher: _scale(stack, min_mass) for matcher, stack in weights.items()
    }
    heights = [max(len(row), LEAST_ROWS) for row in rows.values()]
    columns = max(map(len, matchers.values()))
    image = next(iter(next(iter(matchers.values())).values()))
    figure = new_figure(1.0 + 0.8 * len(heights) + 0.13 * sum(heights))
    figure.suptitle(title)
    grid = figure.add_gridspec(
        len(matchers),
        columns + 1,
        height_ratios=heights,
        width_ratios=[max(1.6, 0.4 * columns), *[1] * columns],
    )
    axes = figure.add_subplot(grid[:, 0], label='image', anchor='N')
    show_faded(axes, image.picture.rgb)
    axes.set_title(image.picture.note, fontsize='small', wrap=True)
    add_ground_truths(axes, image.gt_boxes.cpu().numpy())
    for row, (matcher, epochs) in enumerate(matchers.items()):
        stack, shown = weights[matcher], rows[matcher]
        for column, epoch in enumerate(epochs):
            axes = figure.add_subplot(
                grid[row, column + 1], label=f'{matcher}, {epoch}'
            )
            heading = epoch
            if column > 0:
                heading += f'\n{kept_share(stack, column):.0%} kept'
            axes.set_title(heading, fontsize='medium')
            scale = scales[matcher]
            _draw_epoch(axes, stack[:, shown] / scale, column, shown)
            _name_columns(axes, stack.shape[2], MOST_NAMES // columns)
            axes.tick_params(
                length=0, labelsize='x-small', labelleft=column == 0
            )
            if column == 0:
                axes.set_ylabel(
                    f'{len(shown)} of {stack.shape[1]}\npredictions'
                )
                if scale != 1:
                    axes.set_xlabel(f'spread: a full cell is {scale:.2g}')
                axes.annotate(
                    matcher,
                    (0, 1),
                    xycoords='axes fraction',
                    xytext=(0, NAME_HEIGHT),
                    textcoords='offset points',
                    fontweight='bold',
                )
            if stack.shape[2] == 0:
                _say_why(axes)
    figure.legend(
        handles=[
            Patch(color=GRAY, label='matched mass (a full cell is 1)'),
            Patch(color=BLUE, label='kept from the epoch before'),
            Patch(color=VERMILLION, label='new'),
        ],
        loc='outside lower center',
        ncols=3,
        fontsize=9,
    )
    return figure


def kept_mass(weights: np.ndarray, epoch: int) -> np.ndarray:
    """What a match has in common with that of the epoch before.

    Args:
        weights (np.ndarray): (E, N, M) foreground weights of E epochs.
        epoch (int): Index of the epoch, at least 1.

    Returns:
        np.ndarray: (N, M), the lesser of the two weights.
    """
    return np.minimum(weights[epoch], weights[epoch - 1])


def kept_share(weights: np.ndarray, epoch: int) -> float:
    """How much of a match was there in the epoch before.

    Args:
        weights (np.ndarray): (E, N, M) foreground weights of E epochs.
        epoch (int): Index of the epoch, at least 1.

    Returns:
        float: In [0, 1]; 1 where nothing is matched.
    """
    total = weights[epoch].sum()
    return float(kept_mass(weights, epoch).sum() / total) if total else 1.0


def _stack(epochs: Sequence[MatchedImage]) -> np.ndarray:
    """(E, N, M) foreground weights."""
    shapes = {matched.weights.shape for matched in epochs}
    if len(shapes) != 1:
        raise ValueError(
            'the epochs of a matcher must be of one image and one model, got '
            f'plans of shapes {sorted(shapes)}'
        )
    return np.stack([matched.weights[:, :-1] for matched in epochs])


def _rows(weights: np.ndarray, min_mass: float, max_rows: int) -> np.ndarray:
    """Predictions that are ever matched, by ground truth, then by mass."""
    total = weights.sum(0)
    most = weights.max((0, 2), initial=0)
    if most.max(initial=0) <= min_mass:
        min_mass, max_rows = 0, min(max_rows, SPREAD_ROWS)
    ever = (most > min_mass).nonzero()[0]
    rows = ever[leading_rows(total[ever], max_rows)]
    return sort_rows(total, rows)


def _scale(weights: np.ndarray, min_mass: float) -> float:
    """The mass that fills a cell: 1, or the greatest if that is too little."""
    most = weights.max(initial=0)
    return float(most) if 0 < most <= min_mass else 1.0


def _draw_epoch(
    axes: Axes, weights: np.ndarray, epoch: int, names: np.ndarray
) -> None:
    _, n, M = weights.shape
    row, column = map(np.ravel, np.indices((n, M)))
    left = column - CELL / 2
    if epoch == 0:
        parts = [(weights[0], GRAY)]
    else:
        kept = kept_mass(weights, epoch)
        parts = [(kept, BLUE), (weights[epoch] - kept, VERMILLION)]
    for part, color in parts:
        axes.barh(row, CELL * part.ravel(), left=left, color=color, height=0.8)
        left = left + CELL * part.ravel()
    if M <= MOST_LINES:
        lines = np.arange(M - 1) + 0.5
        axes.vlines(lines, -0.5, n - 0.5, color='0.85', lw=0.8)
    axes.set(xlim=(-0.5, max(M, 1) - 0.5), ylim=(max(n, 1) - 0.5, -0.5))
    axes.set_yticks(range(n), names)


def _name_columns(axes: Axes, num_gts: int, most: int) -> None:
    step = -(-num_gts // most) or 1
    names = letters(num_gts)
    axes.set_xticks(range(0, num_gts, step), names[::step])


def _say_why(axes: Axes) -> None:
    """Writes into an empty panel why it is."""
    axes.text(
        0.5,
        0.5,
        'no ground\ntruths',
        ha='center',
        va='center',
        fontsize='small',
        transform=axes.transAxes,
    )
