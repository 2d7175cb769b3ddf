"""What a Color Boxes image looks like, checked once, in one place."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from numbers import Integral, Real

GENERATOR_VERSION = 1
"""Raised whenever the same options would give other images."""


@dataclass(frozen=True)
class ColorBoxesOptions:
    """Options of the generator; the defaults are those of Appendix I.

    Image ``i`` of a split depends on these options, the split and ``i``
    only: neither on the number of images nor on the number of workers.

    Args:
        seed (int): Seed, >= 0. Defaults to 0.
        image_size (tuple[int, int]): Width and height of the canvas in
            pixels. Each must hold the longest diagonal of a rectangle.
            Defaults to (500, 400).
        max_objects (int): The number of rectangles of an image is uniform in
            ``[0, max_objects]``. Defaults to 30.
        side_range (tuple[float, float]): Both sides of a rectangle are
            uniform in this interval, in pixels. Defaults to (12, 80).
        max_iou (float): Highest IoU, in [0, 1], between the axis-aligned
            bounding boxes of two rectangles. Defaults to 0.25.
        noise_std (float): Standard deviation of the Gaussian noise of each
            pixel value, in units of the full range [0, 1]. Defaults to 0.05.

    Raises:
        TypeError: If an option has the wrong type.
        ValueError: If an option is out of range.
    """

    seed: int = 0
    image_size: tuple[int, int] = (500, 400)
    max_objects: int = 30
    side_range: tuple[float, float] = (12, 80)
    max_iou: float = 0.25
    noise_std: float = 0.05

    def __post_init__(self) -> None:
        checked = {
            'seed': check_int('seed', self.seed, minimum=0),
            'image_size': tuple(
                check_int('image_size', value, minimum=1)
                for value in _pair('image_size', self.image_size)
            ),
            'max_objects': check_int(
                'max_objects', self.max_objects, minimum=0
            ),
            'side_range': tuple(
                _check_real('side_range', value)
                for value in _pair('side_range', self.side_range)
            ),
            'max_iou': _check_real('max_iou', self.max_iou),
            'noise_std': _check_real('noise_std', self.noise_std),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        shortest, longest = self.side_range
        if not 1 <= shortest <= longest:
            raise ValueError(
                f'side_range must be (shortest, longest) with 1 <= shortest '
                f'<= longest, in pixels, got {self.side_range}'
            )
        diagonal = math.hypot(longest, longest)
        if diagonal > min(self.image_size):
            raise ValueError(
                f'image_size {self.image_size} cannot hold a rectangle of '
                f'side_range {self.side_range}, whose diagonal may be '
                f'{diagonal:.1f} pixels: use a larger image_size or '
                'smaller sides'
            )
        for name in ('max_iou', 'noise_std'):
            if not 0 <= checked[name] <= 1:
                raise ValueError(
                    f'{name} must be in [0, 1], got {checked[name]}'
                )

    def to_json(self) -> dict:
        """Return the options as JSON holds them, with the version.

        Returns:
            dict: One entry per option, pairs as lists, and ``generator``,
            the version of the generator.
        """
        pairs = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }
        return {'generator': GENERATOR_VERSION, **pairs}


def check_int(name: str, value: int, *, minimum: int) -> int:
    """Return ``value`` as an int, or raise unless it is one in range.

    Args:
        name (str): Name of the option, for the message.
        value (int): Its value; NumPy's integers are welcome.
        minimum (int): The lowest value that is allowed.

    Returns:
        int: The value.

    Raises:
        TypeError: If ``value`` is not an integer.
        ValueError: If ``value`` is too low.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f'{name} must be an integer, got {value!r}')
    if value < minimum:
        raise ValueError(f'{name} must be >= {minimum}, got {value}')
    return int(value)


def _check_real(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f'{name} must be a number, got {value!r}')
    if not math.isfinite(value):
        raise ValueError(f'{name} must be finite, got {value}')
    return float(value)


def _pair(name: str, value: tuple) -> tuple:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f'{name} must be a pair of numbers, got {value!r}')
    return tuple(value)
