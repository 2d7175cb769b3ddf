"""The statistics of a split against Appendix I, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .palette import CLASSES, GRAY
from .statistics import SplitStatistics

LOWEST_P = 0.001
"""A fair split fails one chi-square test in a thousand."""


@dataclass(frozen=True)
class Check:
    """One property of a split.

    Attributes:
        name (str): The property.
        expected (str): What the options of the split ask for.
        measured (str): What was found on disk.
        passed (bool): Whether the two agree.
    """

    name: str
    expected: str
    measured: str
    passed: bool


def check_statistics(stats: SplitStatistics) -> list[Check]:
    """Compare a split with the options it was made with.

    Uniform quantities pass if their chi-square p-value is at least 0.001, the
    mean of the background within half a gray level, its standard deviation
    within 2 %. Noise so strong that it is clipped does not pass.

    Args:
        stats (SplitStatistics): What was measured.

    Returns:
        list[Check]: One entry per property of Appendix I.
    """
    options = stats.options
    width, height = options.image_size
    sizes = {(item['width'], item['height']) for item in stats.coco['images']}
    checks = [
        Check(
            'image size',
            f'{width} x {height}',
            ', '.join(f'{w} x {h}' for w, h in sizes),
            sizes == {(width, height)},
        )
    ]
    ranges = {
        'objects per image': f'0 to {options.max_objects}',
        'class': f'{len(CLASSES)} colours',
        'side in pixels': '{:g} to {:g}'.format(*options.side_range),
        'angle in degrees': '0 to 180',
    }
    for quantity in stats.uniform:
        found = 'none'
        if len(quantity.values):
            low, high = quantity.values.min(), quantity.values.max()
            found = f'{low:.4g} to {high:.4g}, p = {quantity.p_value:.3f}'
        checks.append(
            Check(
                quantity.name,
                f'uniform, {ranges[quantity.name]}',
                found,
                quantity.p_value >= LOWEST_P,
            )
        )
    highest = stats.max_ious.max()
    drawn = len(stats.coco['annotations']) + stats.dropped
    mean = stats.background.mean(0) * 255
    noise = stats.background.std()
    mixed = np.abs(np.corrcoef(stats.background.T) - np.eye(3)).max()
    return checks + [
        Check(
            'highest IoU of two boxes',
            f'at most {options.max_iou}',
            f'{highest:.4f}',
            highest <= options.max_iou + 1e-9,
        ),
        Check(
            'objects without a place',
            '0',
            f'{stats.dropped} of {drawn} ({stats.redrawn} shapes redrawn)',
            stats.dropped == 0,
        ),
        Check(
            'background RGB',
            '{} {} {}'.format(*GRAY),
            '{:.2f} {:.2f} {:.2f}'.format(*mean),
            bool(np.abs(mean - GRAY).max() < 0.5),
        ),
        Check(
            'standard deviation of noise',
            f'{options.noise_std}',
            f'{noise:.4f}',
            abs(noise - options.noise_std) <= 0.02 * options.noise_std,
        ),
        Check(
            'correlation of channels',
            '0',
            f'at most {mixed:.4f}',
            mixed < 0.01,
        ),
    ]


def format_report(stats: SplitStatistics, title: str) -> str:
    """Return the comparison as a table.

    Args:
        stats (SplitStatistics): What was measured.
        title (str): Name of the split.

    Returns:
        str: Several lines.
    """
    rows = [('', 'property', 'expected', 'measured')]
    rows += [
        ('ok' if c.passed else 'NO', c.name, c.expected, c.measured)
        for c in check_statistics(stats)
    ]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]
    number, objects = len(stats.coco['images']), len(stats.coco['annotations'])
    return '\n'.join([f'{title}: {number} images, {objects} objects', *lines])
