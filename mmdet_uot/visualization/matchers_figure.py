"""The same predictions under several matchers, side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from .heat_map import show_weights
from .matched_image import MatchedImage
from .matching_figure import add_link_legend, show_matching
from .rows import leading_rows
from .style import BACKGROUND, WIDTH, new_figure

__all__ = ['draw_matchers']

# Inches.
MARGIN = 0.35
MOST_HEIGHT = 4.0
NAMES_PER_INCH = 5.0
LEAST_ROWS = 6
# Points.
MARK = 8.5
PAD = 6.0
LINE = 13.0


def draw_matchers(
    matchers: Mapping[str, MatchedImage],
    *,
    min_mass: float = 0.1,
    max_preds: int = 60,
    max_rows: int = 12,
    title: str = 'The same predictions, matched by one solver',
) -> Figure:
    """Draws an image and its plan under several matchers (Fig. 1 and 2).

    Args:
        matchers (Mapping[str, MatchedImage]): The image per heading; what
            follows the first line of a heading is written smaller.
        min_mass (float): Pairs of at most this mass are not linked. Defaults
            to 0.1.
        max_preds (int): Most predictions of an image. Defaults to 60.
        max_rows (int): Most rows of a plan. Defaults to 12.
        title (str): Heading. Defaults to 'The same predictions, matched by
            one solver'.

    Returns:
        Figure: With the axes ``<heading>: image`` and ``<heading>: plan``.

    Raises:
        ValueError: If the plans are not of one size.
    """
    shapes = {matched.weights.shape for matched in matchers.values()}
    if len(shapes) != 1:
        raise ValueError(
            'the matchers must be given the same predictions and ground '
            f'truths, got plans of shapes {sorted(shapes)}'
        )
    weights = {name: image.weights for name, image in matchers.items()}
    total = np.sum([*weights.values()], axis=0)[:, :-1]
    rows = np.sort(leading_rows(total, max_rows))
    height, width = next(iter(matchers.values())).picture.rgb.shape[:2]
    panel = (WIDTH - MARGIN) / len(matchers) - 0.1
    inches = min(panel, MOST_HEIGHT * width / height)
    heights = inches * height / width, 0.3 + 0.11 * max(len(rows), LEAST_ROWS)
    figure = new_figure(1.6 + sum(heights))
    figure.suptitle(title)
    grid = figure.subplots(
        2, len(matchers), height_ratios=heights, squeeze=False
    )
    for column, (heading, matched) in enumerate(matchers.items()):
        image, plan = grid[:, column]
        # At the top, whose height the layout measures.
        image.set_anchor('N')
        image.set_label(f'{heading}: image')
        plan.set_label(f'{heading}: plan')
        name, *notes = heading.split('\n')
        image.set_title(
            name,
            fontsize='medium',
            fontweight='bold',
            pad=PAD + LINE * len(notes),
        )
        image.annotate(
            '\n'.join(notes),
            (0.5, 1),
            xycoords='axes fraction',
            xytext=(0, PAD),
            textcoords='offset points',
            ha='center',
        )
        show_matching(
            image,
            matched,
            inches=inches,
            mark=MARK,
            min_mass=min_mass,
            max_preds=max_preds,
        )
        show_weights(
            plan,
            weights[heading][rows],
            rows,
            most_names=int(NAMES_PER_INCH * panel),
        )
        plan.tick_params(labelleft=column == 0)
        plan.set_xlabel(
            f'ground truth ({BACKGROUND}: background)', fontsize='small'
        )
    grid[1, 0].set_ylabel('prediction')
    add_link_legend(figure, MARK)
    return figure
