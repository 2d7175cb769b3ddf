"""The figures of the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from mmdet_uot.visualization.style import COLORS, new_figure

from .competitors import HUNGARIAN, OURS
from .growth import GrowthPoint
from .training_step import MATCHINGS, ONCE, Phase, step_ms

__all__ = ['save_growth', 'save_training_step']

NAMES = {OURS: 'ours', HUNGARIAN: 'Hungarian (SciPy)'}
STYLES = {
    OURS: dict(ls='-', marker='o'),
    HUNGARIAN: dict(ls='--', marker='s', mfc='white'),
}
SSD_ANCHORS = {'SSD300': 8_732, 'SSD512': 24_564}


def save_growth(
    points: Sequence[GrowthPoint], num_images: int, path: Path
) -> None:
    """Draws time against the number of predictions (Fig. 6).

    Args:
        points (Sequence[GrowthPoint]): Two solvers, several sizes.
        num_images (int): Images of the batch.
        path (Path): The file to write; its suffix gives the format.
    """
    figure = new_figure(height=5.5)
    axes = figure.add_subplot()
    objects = sorted({point.num_objects for point in points})
    for (solver, style), (color, count) in product(
        STYLES.items(), zip(COLORS, objects)
    ):
        line = [
            point
            for point in points
            if (point.solver, point.num_objects) == (solver, count)
        ]
        times = [point.time for point in line]
        axes.errorbar(
            [point.num_preds for point in line],
            [time.ms for time in times],
            [
                [time.ms - time.lower_ms for time in times],
                [time.upper_ms - time.ms for time in times],
            ],
            label=f'{NAMES[solver]}, $M = {count}$',
            color=color,
            capsize=2,
            **style,
        )
    for name, anchors in SSD_ANCHORS.items():
        axes.axvline(anchors, color='0.6', lw=1, ls=':')
        axes.annotate(
            name,
            (anchors, 0),
            xycoords=('data', 'axes fraction'),
            xytext=(2, 4),
            textcoords='offset points',
            rotation=90,
            color='0.4',
        )
    # Set last: errorbar() puts the limits of a logarithmic axis too low.
    axes.set(
        xscale='log',
        yscale='log',
        xlabel='predictions $N$ per image',
        ylabel=f'time of a batch of {num_images} images (ms)',
    )
    axes.grid(alpha=0.3)
    figure.legend(loc='outside upper center', ncols=2)
    figure.savefig(path)


def save_training_step(
    phases: Sequence[Phase], num_images: int, path: Path
) -> None:
    """Draws the phases of a training step as bars (Table 4).

    Args:
        phases (Sequence[Phase]): Rows of the table.
        num_images (int): Images of the batch.
        path (Path): The file to write; its suffix gives the format.
    """
    figure = new_figure(height=3.5)
    axes = figure.add_subplot(
        xlabel=f'time of a step of {num_images} images (ms)'
    )
    names = list(MATCHINGS)
    left = [0.0] * len(names)
    repeated = [phase for phase in phases if phase.name != ONCE]
    for phase, color in zip(repeated, COLORS):
        width = [phase.times[name].ms for name in names]
        axes.barh(names, width, left=left, color=color, label=phase.name)
        left = [a + b for a, b in zip(left, width)]
    for name in names:
        total = step_ms(phases, name)
        axes.annotate(
            f'{total:,.0f}',
            (total, name),
            xytext=(3, 0),
            textcoords='offset points',
            va='center',
        )
    axes.margins(x=0.1)
    axes.invert_yaxis()
    figure.legend(loc='outside upper center', ncols=len(repeated))
    figure.savefig(path)
