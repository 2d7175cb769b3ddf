"""Where the rectangles of an image are, and of which class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .options import ColorBoxesOptions
from .palette import CLASSES

SPLITS = ('train', 'val')
SHAPE_TRIES = 16
POSITION_TRIES = 64
DECIMALS = 2
"""Corners are rounded to 0.01 pixel, so that a file holds them exactly."""


@dataclass(frozen=True)
class Scene:
    """The rectangles of one image, in the order in which they are painted.

    Coordinates are continuous: pixel (0, 0) covers [0, 1] x [0, 1].

    Attributes:
        labels (np.ndarray): (n,) int64, index of the class.
        corners (np.ndarray): (n, 4, 2) float64, x and y of the corners in
            turn, in pixels; the first edge is the first drawn side.
        dropped (int): Rectangles that were drawn but found no place.
        redrawn (int): Shapes (sides and angle) that were drawn again because
            the first ones found no place.
    """

    labels: np.ndarray
    corners: np.ndarray
    dropped: int
    redrawn: int

    @property
    def boxes(self) -> np.ndarray:
        """np.ndarray: (n, 4) axis-aligned bounding boxes (x1, y1, x2, y2)."""
        low, high = self.corners.min(1), self.corners.max(1)
        return np.concatenate([low, high], axis=1)

    @property
    def areas(self) -> np.ndarray:
        """np.ndarray: (n,) areas of the rectangles in square pixels."""
        x, y = self.corners[..., 0], self.corners[..., 1]
        cross = x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)
        return np.abs(cross.sum(1)) / 2


def image_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """Return the random generator of one image.

    Args:
        seed (int): Seed of the set, >= 0.
        split (str): 'train' or 'val'.
        index (int): Index of the image in its split.

    Returns:
        np.random.Generator: Independent of that of any other image.
    """
    key = (SPLITS.index(split), index)
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=key)
    return np.random.Generator(np.random.PCG64(sequence))


def sample_scene(
    options: ColorBoxesOptions, rng: np.random.Generator
) -> Scene:
    """Draw the rectangles of an image (Appendix I).

    Their number is uniform. Each gets a uniform class, two uniform sides and
    a uniform angle, then up to 64 uniform positions inside the canvas; if its
    bounding box overlaps another one too much at each, sides and angle are
    drawn again, up to 16 times, and then the rectangle is dropped. With the
    options of Appendix I that does not happen; a crowded canvas
    holds fewer and smaller rectangles than drawn, and the scene says so.

    The largest rectangle is painted first, so that none hides a smaller one.

    Args:
        options (ColorBoxesOptions): Canvas, count, sides and overlap.
        rng (np.random.Generator): Generator of this image.

    Returns:
        Scene: The rectangles.
    """
    drawn = int(rng.integers(0, options.max_objects + 1))
    labels = rng.integers(0, len(CLASSES), size=drawn)
    corners = np.empty((drawn, 4, 2))
    boxes = np.empty((drawn, 4))
    kept: list[int] = []
    redrawn = 0
    for index in range(drawn):
        for attempt in range(SHAPE_TRIES):
            redrawn += attempt > 0
            candidates = _candidates(options, rng)
            low, high = candidates.min(1), candidates.max(1)
            spots = np.concatenate([low, high], axis=1)
            iou = pairwise_iou(spots, boxes[kept])
            free = (iou <= options.max_iou).all(1)
            if free.any():
                first = int(free.argmax())
                corners[index], boxes[index] = candidates[first], spots[first]
                kept.append(index)
                break
    scene = Scene(labels[kept], corners[kept], drawn - len(kept), redrawn)
    order = np.argsort(-scene.areas, kind='stable')
    return Scene(
        scene.labels[order], scene.corners[order], scene.dropped, redrawn
    )


def _candidates(
    options: ColorBoxesOptions, rng: np.random.Generator
) -> np.ndarray:
    """Draw one shape at many places: (POSITION_TRIES, 4, 2) corners."""
    sides = rng.uniform(*options.side_range, size=2)
    angle = rng.uniform(0, np.pi)
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    x, y = (signs * sides / 2).T
    cos, sin = np.cos(angle), np.sin(angle)
    shape = np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)
    margin = shape.max(0)
    size = np.array(options.image_size)
    centers = rng.uniform(size=(POSITION_TRIES, 2))
    centers = margin + centers * (size - 2 * margin)
    return np.round(centers[:, None] + shape, DECIMALS)


def pairwise_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the IoU of each of n boxes with each of m boxes.

    Args:
        boxes (np.ndarray): (n, 4), x1, y1, x2, y2.
        others (np.ndarray): (m, 4), likewise.

    Returns:
        np.ndarray: (n, m).
    """
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    inter = np.clip(high - low, 0, None).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    other_area = (others[:, 2:] - others[:, :2]).prod(-1)
    return inter / (area[:, None] + other_area - inter)
