"""Images of a dataset with their boxes, as a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product, zip_longest
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox
from mmdet.structures.bbox import get_box_tensor

from ..visualization.links import add_boxes
from ..visualization.pixels import to_picture
from ..visualization.style import WIDTH, new_figure

__all__ = ['draw_samples']

COLUMNS = 3
# Inches.
MOST_HEIGHT = 6.5


def draw_samples(
    samples: Sequence[dict],
    *,
    classes: Sequence[str] | None = None,
    title: str = 'Samples',
) -> Figure:
    """Draws images with their ground truths (Fig. 15).

    Args:
        samples (Sequence[dict]): Of a dataset: ``inputs`` (C, H, W) and
            ``data_samples`` with ``gt_instances``.
        classes (Sequence[str], optional): Names that are written into the
            boxes, by label, where there is room. Defaults to None: no names.
        title (str): Heading. Defaults to 'Samples'.

    Returns:
        Figure: With one axes per image, labelled by its file.

    Raises:
        ValueError: If a sample has no ground truths.
    """
    if not all('gt_instances' in sample['data_samples'] for sample in samples):
        raise ValueError(
            'the samples have no gt_instances; add LoadAnnotations to the '
            'pipeline'
        )
    images, notes = zip(*(to_picture(sample['inputs']) for sample in samples))
    columns = min(COLUMNS, len(samples))
    rows = -(-len(samples) // columns)
    aspect = max(image.shape[0] / image.shape[1] for image in images)
    width = min(WIDTH / columns, MOST_HEIGHT / aspect)
    figure = new_figure(0.5 + rows * (width * aspect + 0.3))
    figure.suptitle(title)
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes, image, note, sample in zip_longest(grid, images, notes, samples):
        axes.set_axis_off()
        if sample is None:
            continue
        meta = sample['data_samples']
        boxes = get_box_tensor(meta.gt_instances.bboxes).numpy()
        height, width = image.shape[:2]
        axes.imshow(image, extent=(0, width, height, 0))
        # Seen on any image: white on black.
        add_boxes(axes, boxes, 'black', width=2.4)
        add_boxes(axes, boxes, 'white')
        file = Path(meta.img_path).name
        objects = 'object' if len(boxes) == 1 else 'objects'
        axes.set_label(file)
        said = filter(None, (f'{file}: {len(boxes)} {objects}', note))
        axes.set_title('\n'.join(said), fontsize='small')
    if classes is not None:
        # The layout decides what has room.
        figure.draw_without_rendering()
        for axes, sample in zip(figure.axes, samples):
            gts = sample['data_samples'].gt_instances
            names = [classes[label] for label in gts.labels]
            left = _add_names(axes, get_box_tensor(gts.bboxes).numpy(), names)
            if left:
                axes.set_title(
                    f'{axes.get_title()}, {left} unnamed', fontsize='small'
                )
    return figure


def _add_names(axes: Axes, boxes: np.ndarray, names: Sequence[str]) -> int:
    """Writes names into corners of their boxes where there is room.

    Returns:
        int: How many have none.
    """
    panel = axes.get_window_extent()
    taken: list[Bbox] = []
    for box, name in zip(boxes, names):
        text = axes.annotate(
            name,
            box[:2],
            xytext=(0, 0),
            textcoords='offset points',
            fontsize=6.5,
            color='white',
            path_effects=[withStroke(linewidth=1.5, foreground='black')],
            in_layout=False,
        )
        for x, y in product((0, 2), (1, 3)):
            text.xy = box[[x, y]]
            text.set_position((1.5 - x * 1.5, (y - 2) * 1.5))
            text.set_ha('right' if x else 'left')
            text.set_va('bottom' if y == 3 else 'top')
            place = text.get_window_extent()
            is_inside = place.x0 >= panel.x0 and place.x1 <= panel.x1
            if is_inside and not any(place.overlaps(x) for x in taken):
                taken.append(place)
                break
        else:
            text.remove()
    return len(boxes) - len(taken)
