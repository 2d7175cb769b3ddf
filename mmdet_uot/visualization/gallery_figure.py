"""The same predictions under many matchers, image by image."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from .matched_image import MatchedImage
from .matching_figure import add_link_legend, show_matching
from .style import WIDTH, new_figure

__all__ = ['draw_gallery']

# Inches.
GAP = 0.1
HEADING = 0.45
# Points.
MARK = 7.0


def draw_gallery(
    matchers: Mapping[str, MatchedImage],
    *,
    columns: int = 4,
    min_mass: float = 0.1,
    title: str = 'The same predictions under every preset',
) -> Figure:
    """Draws one image for each matcher.

    Args:
        matchers (Mapping[str, MatchedImage]): The image per heading; what
            follows the first line of a heading is written smaller.
        columns (int): Images in a row. Defaults to 4.
        min_mass (float): Pairs of at most this mass are not linked. Defaults
            to 0.1.
        title (str): Heading.

    Returns:
        Figure: With the axes ``<heading>``.
    """
    rows = -(-len(matchers) // columns)
    height, width = next(iter(matchers.values())).picture.rgb.shape[:2]
    inches = WIDTH / columns - GAP
    panel = inches * height / width + HEADING
    figure = new_figure(1.0 + rows * panel)
    figure.suptitle(title)
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in grid[len(matchers) :]:
        axes.set_axis_off()
    for axes, (heading, matched) in zip(grid, matchers.items()):
        name, _, notes = heading.partition('\n')
        axes.set_label(heading)
        axes.set_title(name, fontsize='small', fontweight='bold', pad=14)
        axes.annotate(
            notes,
            (0.5, 1),
            xycoords='axes fraction',
            xytext=(0, 4),
            textcoords='offset points',
            ha='center',
            fontsize='x-small',
        )
        show_matching(
            axes,
            matched,
            inches=inches,
            mark=MARK,
            min_mass=min_mass,
            max_preds=60,
        )
    add_link_legend(figure, MARK)
    return figure
