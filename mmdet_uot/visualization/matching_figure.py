"""An image whose predictions and ground truths are linked by their mass."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .links import (
    BACKGROUND_SHARE,
    LINE_WIDTH,
    MOST_DIGITS,
    add_boxes,
    add_ground_truths,
    add_links,
    add_numbers,
    add_predictions,
    centers,
    show_faded,
)
from .matched_image import MatchedImage
from .rows import leading_rows
from .style import BLACK, BLUE, WIDTH, new_figure

__all__ = ['MIN_MASS', 'add_link_legend', 'draw_matching', 'show_matching']

MIN_MASS = 0.05
# Inches.
MARGIN = 0.2
MOST_HEIGHT = 6.5
# Points.
MARK = 11.0
# Of the note, above the names of ground truths.
PAD = 14.0


def draw_matching(
    matched: MatchedImage,
    *,
    min_mass: float = MIN_MASS,
    max_preds: int = 60,
    title: str = 'Matching',
) -> Figure:
    """Draws an image with predictions and ground truths linked (Fig. 2).

    A line is as wide as the mass :math:`N P_{ij}`. A prediction is the whiter
    the more of its mass goes to the background, and small if all of it does.
    Up to a thousand predictions have their numbers where there is room.

    Args:
        matched (MatchedImage): The image and its plan.
        min_mass (float): Pairs of at most this mass are left out. Defaults to
            0.05.
        max_preds (int): Most predictions to draw: the heaviest of each ground
            truth, then the second heaviest of each, and so on. Defaults to
            60.
        title (str): Heading. Defaults to 'Matching'.

    Returns:
        Figure: With the axes ``image``.
    """
    height, width = matched.picture.rgb.shape[:2]
    inches = min(WIDTH - MARGIN, MOST_HEIGHT * width / height)
    figure = new_figure(1.3 + inches * height / width)
    figure.suptitle(title)
    axes = figure.add_subplot(label='image')
    share = show_matching(
        axes,
        matched,
        inches=inches,
        mark=MARK,
        min_mass=min_mass,
        max_preds=max_preds,
    )
    notes = filter(
        None, (_note(matched, min_mass, share), matched.picture.note)
    )
    axes.set_title('\n'.join(notes), fontsize='medium', pad=PAD)
    add_link_legend(figure, MARK)
    return figure


def show_matching(
    axes: Axes,
    matched: MatchedImage,
    *,
    inches: float,
    mark: float,
    min_mass: float = MIN_MASS,
    max_preds: int = 60,
) -> float:
    """Shows an image, its boxes and the links between them.

    Args:
        axes (Axes): Where.
        matched (MatchedImage): The image and its plan.
        inches (float): Width of the image on paper.
        mark (float): Diameter of a prediction's mark in points.
        min_mass (float): See :func:`draw_matching`.
        max_preds (int): See :func:`draw_matching`.

    Returns:
        float: The share of the foreground mass that the links stand for, 1
        if there is none.
    """
    preds = matched.pred_boxes.cpu().numpy()
    gts = matched.gt_boxes.cpu().numpy()
    # The most important ones come last, above the others.
    shown = leading_rows(matched.weights[:, :-1], max_preds)[::-1]
    shown = shown[np.isfinite(preds[shown]).all(1)]
    preds = preds[shown]
    weights = matched.weights[shown]
    foreground = weights[:, :-1].sum(1)
    # Without any mass, as ignored ones are: white.
    background = 1 - foreground / weights.sum(1).clip(min=1e-12)

    show_faded(axes, matched.picture.rgb)
    alpha = 0.8 * foreground.clip(0.1, 1)
    add_boxes(axes, preds, BLUE, width=0.8, alpha=alpha)
    add_ground_truths(axes, gts)
    axes.plot(*centers(gts).T, **_square(mark))
    links = add_links(axes, weights[:, :-1], preds, gts, min_mass=min_mass)
    has_mass = foreground > min_mass
    for part, size in ((~has_mass, 0.4 * mark), (has_mass, mark)):
        add_predictions(axes, preds[part], background[part], size=size)
    # All or none: some numbers among others would look chosen.
    if len(matched.pred_boxes) <= 10**MOST_DIGITS:
        add_numbers(
            axes,
            preds[has_mass],
            background[has_mass],
            shown[has_mass],
            size=mark,
            reach=mark / 72 * matched.picture.rgb.shape[1] / inches,
        )
    total = matched.weights[:, :-1].sum()
    drawn = sum(links.get_linewidths()) / LINE_WIDTH
    return float(drawn / total) if total > 0 else 1.0


def add_link_legend(figure: Figure, mark: float) -> None:
    """Says below a figure what marks, of some points, and lines mean."""

    def dot(background: float, label: str) -> Line2D:
        style = dict(ls='', marker='o', ms=mark, mec=BLUE)
        color = BACKGROUND_SHARE(background)
        return Line2D([], [], mfc=color, label=label, **style)

    def line(mass: float, label: str) -> Line2D:
        return Line2D([], [], color=BLUE, lw=LINE_WIDTH * mass, label=label)

    figure.legend(
        handles=[
            Line2D([], [], label='ground truth', **_square(mark)),
            dot(0.0, 'matched prediction'),
            dot(0.5, 'half background'),
            dot(1.0, 'background'),
            line(1.0, 'mass 1'),
            line(0.5, '0.5'),
            line(0.1, '0.1'),
        ],
        loc='outside lower center',
        ncols=7,
        fontsize=9,
        columnspacing=1.2,
    )


def _square(mark: float) -> dict:
    return dict(
        ls='',
        marker='s',
        ms=1.3 * mark,
        mfc='none',
        mec=BLACK,
        mew=0.16 * mark,
    )


def _note(matched: MatchedImage, min_mass: float, share: float) -> str:
    if len(matched.gt_boxes) == 0:
        return 'no ground truths: all predictions are background'
    if share == 0:
        return (
            f'no lines: the mass is spread, no pair has more than {min_mass:g}'
        )
    return f'lines: pairs above {min_mass:g}, {share:.0%} of the matched mass'
