"""From rectangles to pixels."""

from __future__ import annotations

import cv2
import numpy as np

from .options import ColorBoxesOptions
from .palette import GRAY, PALETTE
from .scene import Scene


def render_scene(
    scene: Scene, options: ColorBoxesOptions, rng: np.random.Generator
) -> np.ndarray:
    """Paint a scene on the gray canvas and add the noise.

    Later rectangles cover earlier ones. Edges are anti-aliased: a pixel
    whose centre is within half a pixel of an edge is mixed in proportion.

    Args:
        scene (Scene): The rectangles.
        options (ColorBoxesOptions): Canvas and noise.
        rng (np.random.Generator): Generator of this image, after
            :func:`sample_scene` has used it.

    Returns:
        np.ndarray: (height, width, 3) uint8, RGB.
    """
    width, height = options.image_size
    planes = np.empty((3, height, width), np.float32)
    planes[:] = _plane_values(GRAY)
    for label, corners in zip(scene.labels, scene.corners):
        _paint(planes, corners, _plane_values(PALETTE[label]))
    noise = rng.standard_normal(planes.shape, dtype=np.float32)
    noise *= np.float32(options.noise_std)
    planes += noise
    np.clip(planes, 0, 1, out=planes)
    planes *= 255
    np.rint(planes, out=planes)
    return cv2.merge(tuple(planes.astype(np.uint8)))


def _plane_values(rgb: tuple[int, int, int]) -> np.ndarray:
    """Return a colour as (3, 1, 1) float32 in [0, 1]."""
    return np.array(rgb, np.float32).reshape(3, 1, 1) / 255


def _paint(planes: np.ndarray, corners: np.ndarray, color: np.ndarray) -> None:
    """Mix ``color`` into ``planes`` where the rectangle covers a pixel."""
    height, width = planes.shape[1:]
    left, top = np.floor(corners.min(0) - 1).astype(int).clip(0)
    right, bottom = np.ceil(corners.max(0) + 1).astype(int)
    right, bottom = min(right, width), min(bottom, height)
    center = corners.mean(0)
    x = np.arange(left, right) + 0.5 - center[0]
    y = np.arange(top, bottom)[:, None] + 0.5 - center[1]
    coverage = np.ones((bottom - top, right - left))
    for side in (corners[1] - corners[0], corners[3] - corners[0]):
        length = np.hypot(*side)
        distance = np.abs(x * side[0] + y * side[1]) / length
        coverage *= np.clip(length / 2 - distance + 0.5, 0, 1)
    patch = planes[:, top:bottom, left:right]
    patch += coverage.astype(np.float32) * (color - patch)
