"""What the figures with images draw: boxes, points, links between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from .style import BLACK, BLUE, letters

__all__ = [
    'BACKGROUND_SHARE',
    'LINE_WIDTH',
    'MOST_DIGITS',
    'add_boxes',
    'add_ground_truths',
    'add_links',
    'add_numbers',
    'add_predictions',
    'centers',
    'show_faded',
]

# Points per unit of mass.
LINE_WIDTH = 6.0
# More do not fit into the mark of a prediction.
MOST_DIGITS = 3
# Least distance of numbers in diameters of marks, less than which they read
# as one.
SPACING = 1.5
# Marks of a lesser share of background have white numbers.
DARK = 0.4
BACKGROUND_SHARE = LinearSegmentedColormap.from_list('', [BLUE, 'white'])


def centers(boxes: np.ndarray) -> np.ndarray:
    """(n, 2) centres of (n, 4) boxes."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def show_faded(axes: Axes, image: np.ndarray) -> None:
    """Shows an image in pale colours, so that lines stand out.

    Args:
        axes (Axes): Where.
        image (np.ndarray): (H, W, 3) uint8, RGB.
    """
    height, width = image.shape[:2]
    axes.imshow(
        (0.4 * image + 0.6 * 255).astype(np.uint8),
        extent=(0, width, height, 0),
    )
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))


def add_links(
    axes: Axes,
    weights: np.ndarray,
    pred_boxes: np.ndarray,
    gt_boxes: np.ndarray,
    *,
    min_mass: float,
    color: str = BLUE,
) -> LineCollection:
    """Links predictions to ground truths by lines as wide as the mass.

    Args:
        axes (Axes): Where.
        weights (np.ndarray): (n, M) foreground weights.
        pred_boxes (np.ndarray): (n, 4), xyxy.
        gt_boxes (np.ndarray): (M, 4), xyxy.
        min_mass (float): Pairs of at most this mass are left out.
        color (str): Colour of the lines. Defaults to blue.

    Returns:
        LineCollection: ``LINE_WIDTH`` points wide per unit of mass.
    """
    preds, gts = (weights > min_mass).nonzero()
    lines = LineCollection(
        np.stack((centers(pred_boxes)[preds], centers(gt_boxes)[gts]), 1),
        linewidths=LINE_WIDTH * weights[preds, gts],
        colors=color,
        capstyle='butt',
        zorder=3,
    )
    axes.add_collection(lines, autolim=False)
    return lines


def add_boxes(
    axes: Axes,
    boxes: np.ndarray,
    color: str,
    *,
    width: float = 1.2,
    alpha: np.ndarray | float = 1.0,
) -> None:
    """Outlines boxes (n, 4), each as visible as its alpha (n,) says."""
    alpha = np.broadcast_to(alpha, len(boxes))
    axes.add_collection(
        PatchCollection(
            [
                Rectangle((x1, y1), x2 - x1, y2 - y1)
                for x1, y1, x2, y2 in boxes
            ],
            facecolors='none',
            edgecolors=[to_rgba(color, a) for a in alpha],
            linewidths=width,
            zorder=2,
        ),
        autolim=False,
    )


def add_predictions(
    axes: Axes, boxes: np.ndarray, background: np.ndarray, *, size: float
) -> None:
    """Marks centres of predictions, the whiter the more is background.

    Args:
        axes (Axes): Where.
        boxes (np.ndarray): (n, 4), xyxy; later ones cover earlier ones.
        background (np.ndarray): (n,) share of the mass, in [0, 1].
        size (float): Diameter in points.
    """
    axes.scatter(
        *centers(boxes).T,
        s=size**2,
        c=background,
        cmap=BACKGROUND_SHARE,
        vmin=0,
        vmax=1,
        edgecolors=BLUE,
        linewidths=0.8,
        zorder=4,
    )


def add_numbers(
    axes: Axes,
    boxes: np.ndarray,
    background: np.ndarray,
    names: Sequence[object],
    *,
    size: float,
    reach: float,
) -> None:
    """Writes numbers on the marks of predictions where they can be read.

    Args:
        axes (Axes): Where.
        boxes (np.ndarray): (n, 4), xyxy, in the order of their marks; later
            ones have their number first.
        background (np.ndarray): (n,) share of the mass.
        names (Sequence[object]): n numbers of at most ``MOST_DIGITS``, the
            width of a mark.
        size (float): Diameter of a mark in points.
        reach (float): The same in pixels of the image; a mark that a later
            one covers has no number, nor one whose number would run into
            another.
    """
    places = centers(boxes)
    written = np.empty((0, 2))
    for index in range(len(places) - 1, -1, -1):
        place, name = places[index], names[index]
        covered = _is_near(place, places[index + 1 :], reach)
        touches = _is_near(place, written, SPACING * reach)
        if not covered and not touches:
            written = np.vstack((written, place))
            axes.text(
                *place,
                name,
                fontsize=0.62 * size,
                ha='center',
                va='center_baseline',
                color='white' if background[index] < DARK else 'black',
                clip_on=True,
                zorder=5,
            )


def _is_near(place: np.ndarray, others: np.ndarray, reach: float) -> bool:
    return bool((np.linalg.norm(others - place, axis=1) <= reach).any())


def add_ground_truths(axes: Axes, boxes: np.ndarray) -> None:
    """Outlines ground truths (M, 4), xyxy, and names them by letters."""
    add_boxes(axes, boxes, BLACK)
    for box, name in zip(boxes, letters(len(boxes))):
        # An annotation may leave the image, and the layout keeps room for it.
        axes.annotate(
            name,
            box[:2].clip(min=0),
            xytext=(0, 1.5),
            textcoords='offset points',
            fontsize='small',
            fontweight='bold',
            color=BLACK,
            path_effects=[withStroke(linewidth=2.5, foreground='white')],
            annotation_clip=False,
            zorder=6,
        )
