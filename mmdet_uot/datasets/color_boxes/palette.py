"""The 20 colours that are the 20 classes.

Chosen among the named CSS colours so that the closest two, the gray
background included, are as far apart as possible: at least 40 in CIELAB
(Delta E 1976) and at least 89 in RGB, which is 7 standard deviations of the
default noise.
"""

from __future__ import annotations

GRAY: tuple[int, int, int] = (128, 128, 128)
"""RGB of the background, in 0-255."""

COLORS: dict[str, tuple[int, int, int]] = {
    'black': (0, 0, 0),
    'blue': (0, 0, 255),
    'chartreuse': (127, 255, 0),
    'cyan': (0, 255, 255),
    'darkblue': (0, 0, 139),
    'darkred': (139, 0, 0),
    'deeppink': (255, 20, 147),
    'dodgerblue': (30, 144, 255),
    'floralwhite': (255, 250, 240),
    'khaki': (240, 230, 140),
    'lightcoral': (240, 128, 128),
    'lightskyblue': (135, 206, 250),
    'magenta': (255, 0, 255),
    'mediumspringgreen': (0, 250, 154),
    'olive': (128, 128, 0),
    'orange': (255, 165, 0),
    'orangered': (255, 69, 0),
    'seagreen': (46, 139, 87),
    'violet': (238, 130, 238),
    'yellow': (255, 255, 0),
}
"""CSS name and RGB of each class, in the order of the labels."""

CLASSES: tuple[str, ...] = tuple(COLORS)
PALETTE: list[tuple[int, int, int]] = list(COLORS.values())
