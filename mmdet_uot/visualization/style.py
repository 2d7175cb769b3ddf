"""What all figures have in common: size, colours, names of ground truths."""

from __future__ import annotations

import itertools
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = [
    'BACKGROUND',
    'COLORS',
    'WIDTH',
    'letters',
    'new_figure',
    'save',
    'to_rgb',
]

# Okabe and Ito's colours, told apart with any colour vision.
COLORS = (
    '#0072B2',
    '#D55E00',
    '#009E73',
    '#E69F00',
    '#CC79A7',
    '#56B4E9',
    '#000000',
)
BLUE, VERMILLION, *_, BLACK = COLORS
GRAY = '#999999'
BACKGROUND = r'$\varnothing$'
# Inches; 900 pixels, as wide as a README.
WIDTH = 9.0


def new_figure(height: float) -> Figure:
    """An empty figure of the common width that needs no display.

    Args:
        height (float): Inches.

    Returns:
        Figure: 100 dots per inch.
    """
    figure = Figure(figsize=(WIDTH, height), dpi=100, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def to_rgb(figure: Figure) -> np.ndarray:
    """The pixels of a figure, as MMEngine's visualizer takes them.

    Give it a name without a slash: MMEngine's local backend writes no file
    into a folder that is not there, and does not say so.

    .. code-block:: python

        visualizer.add_image('plan', to_rgb(draw_plan(plan)), step=epoch)

    Args:
        figure (Figure): Any figure.

    Returns:
        np.ndarray: (height, width, 3) uint8, RGB.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save(figure: Figure, path: Path, *, scale: float = 1.0) -> None:
    """Writes a picture, with its folder if need be, and prints its path.

    Args:
        figure (Figure): Any figure.
        path (Path): The file to write; its suffix gives the format.
        scale (float): Pixels per pixel of a README. Defaults to 1.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If there is no such format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=scale * figure.dpi)
    print(f'picture: {path}')


def letters(count: int) -> list[str]:
    """Names of ground truths: A to Z, AA to AZ, BA and so on.

    Args:
        count (int): How many.

    Returns:
        list[str]: The first ``count`` names.
    """
    names = (
        ''.join(name)
        for length in itertools.count(1)
        for name in itertools.product(ascii_uppercase, repeat=length)
    )
    return list(itertools.islice(names, count))
