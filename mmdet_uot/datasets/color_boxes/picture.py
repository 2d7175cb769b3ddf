"""The statistics of a split against Appendix I, as a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .layout import image_dir
from .palette import CLASSES, GRAY
from .statistics import SplitStatistics, Uniform

BLUE, ORANGE = '#56B4E9', '#D55E00'
"""Two colours of Okabe and Ito, told apart with any colour vision."""

SAMPLES = 4


def save_picture(
    stats: SplitStatistics, root: Path, split: str, path: Path
) -> None:
    """Draw the distributions of a split and sample images (Fig. 15).

    Args:
        stats (SplitStatistics): What was measured.
        root (Path): Folder of the set.
        split (str): 'train' or 'val'.
        path (Path): The file to write; its suffix gives the format.
    """
    figure = Figure(figsize=(16, 11), layout='constrained')
    FigureCanvasAgg(figure)
    number, objects = len(stats.coco['images']), len(stats.coco['annotations'])
    figure.suptitle(
        f'Color Boxes, {split}: {number} images, {objects} objects. '
        'Blue: measured. Orange: what was asked for.',
        fontsize=14,
    )
    grid = figure.add_gridspec(3, SAMPLES, height_ratios=(1, 1, 1.1))
    counts, labels, sides, angles = stats.uniform
    for column, quantity in enumerate((counts, sides, angles)):
        _draw_uniform(figure.add_subplot(grid[0, column]), quantity)
    _draw_ious(figure.add_subplot(grid[0, 3]), stats)
    axes = figure.add_subplot(grid[1, :3])
    _draw_uniform(axes, labels)
    axes.set_xticks(
        np.arange(len(CLASSES)) + 0.5, CLASSES, rotation=40, ha='right'
    )
    axes.set_xlim(0, len(CLASSES))
    _draw_noise(figure.add_subplot(grid[1, 3]), stats)
    by_count = np.argsort(counts.values, kind='stable')
    quantiles = np.linspace(0, number - 1, SAMPLES + 1).round().astype(int)
    for column, rank in enumerate(quantiles[1:]):
        axes = figure.add_subplot(grid[2, column])
        folder = root / image_dir(split)
        _draw_sample(axes, stats.coco, folder, by_count[rank])
    figure.savefig(path, dpi=100)


def _draw_uniform(axes: Axes, quantity: Uniform) -> None:
    """Bars, the expected height and two standard deviations around it."""
    histogram, edges = quantity.histogram, quantity.edges
    share = 1 / len(histogram)
    mean = histogram.sum() * share
    spread = 2 * np.sqrt(mean * (1 - share))
    axes.bar(
        edges[:-1], histogram, np.diff(edges), align='edge', color=BLUE, ec='w'
    )
    axes.axhspan(mean - spread, mean + spread, color=ORANGE, alpha=0.25, lw=0)
    axes.axhline(mean, color=ORANGE, ls='--', label='uniform ± 2 st. dev.')
    axes.set_title(f'chi-square p = {quantity.p_value:.2f}')
    axes.set_xlabel(quantity.name)
    axes.set_ylabel('how many')
    axes.set_ylim(0, 1.3 * max(histogram.max(initial=1), mean))
    axes.legend(loc='upper right')


def _draw_ious(axes: Axes, stats: SplitStatistics) -> None:
    limit = stats.options.max_iou
    axes.hist(stats.max_ious, np.linspace(0, max(limit, 0.01), 26), color=BLUE)
    axes.axvline(limit, color=ORANGE, ls='--', label=f'limit {limit}')
    axes.set_title(f'highest: {stats.max_ious.max():.4f}')
    axes.set_xlabel('highest IoU of two boxes of an image')
    axes.set_ylabel('images')
    axes.legend(loc='upper center')


def _draw_noise(axes: Axes, stats: SplitStatistics) -> None:
    measured, wanted = stats.background.std(), stats.options.noise_std
    levels = np.arange(257) - 0.5
    axes.hist(stats.background.ravel() * 255, levels, density=True, color=BLUE)
    if wanted > 0:
        std = wanted * 255
        x = np.linspace(0, 255, 500)
        bell = np.exp(-(((x - GRAY[0]) / std) ** 2) / 2)
        axes.plot(
            x,
            bell / (std * np.sqrt(2 * np.pi)),
            color=ORANGE,
            ls='--',
            label=f'Gaussian, {GRAY[0]} ± {std:.2f}',
        )
        axes.legend(loc='upper right')
    axes.set_title(f'noise {measured:.4f} of the range [0, 1]')
    axes.set_xlabel('background value, 0 to 255')
    axes.set_xlim(0, 255)
    axes.margins(y=0.25)
    axes.set_ylabel('density')


def _draw_sample(axes: Axes, coco: dict, folder: Path, index: int) -> None:
    """An image, its boxes and the names of its classes."""
    image = coco['images'][index]
    pixels = cv2.imread(str(folder / image['file_name']))[..., ::-1]
    axes.imshow(pixels)
    axes.set_axis_off()
    objects = [a for a in coco['annotations'] if a['image_id'] == image['id']]
    axes.set_title(f'{image["file_name"]}: {len(objects)} objects')
    for item in objects:
        x, y, width, height = item['bbox']
        left, top = x - 0.5, y - 0.5
        for color, line in (('white', 2.2), ('black', 1.0)):
            axes.plot(
                [left, left + width, left + width, left, left],
                [top, top, top + height, top + height, top],
                color=color,
                lw=line,
            )
        axes.text(
            left,
            top,
            CLASSES[item['category_id'] - 1],
            fontsize=6,
            va='bottom',
            bbox={'facecolor': 'white', 'pad': 0.8, 'lw': 0},
        )
