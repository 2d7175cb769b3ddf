"""Measure a Color Boxes split on disk and hold it against Appendix I."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.stats import chisquare

from .layout import annotation_file, check_split, image_dir, read_options
from .options import ColorBoxesOptions
from .palette import CLASSES
from .scene import pairwise_iou

NOISE_IMAGES = 20
"""Number of images read to measure the noise."""


@dataclass(frozen=True)
class Uniform:
    """Numbers that should be uniform.

    Attributes:
        name (str): The quantity, with its unit.
        values (np.ndarray): (n,) the numbers.
        edges (np.ndarray): (bins + 1,) edges of bins of equal width.
    """

    name: str
    values: np.ndarray
    edges: np.ndarray

    @property
    def histogram(self) -> np.ndarray:
        """np.ndarray: (bins,) how many numbers each bin holds."""
        return np.histogram(self.values, self.edges)[0]

    @property
    def p_value(self) -> float:
        """float: Chi-square p-value of the bins being equally likely."""
        if len(self.edges) == 2 or len(self.values) == 0:
            return 1.0
        return float(chisquare(self.histogram).pvalue)


@dataclass(frozen=True)
class SplitStatistics:
    """What was measured on one split.

    Attributes:
        options (ColorBoxesOptions): The options it was made with.
        coco (dict): Its COCO annotations.
        uniform (tuple[Uniform, ...]): Objects per image, classes, sides and
            angles.
        max_ious (np.ndarray): (images,) highest IoU of the bounding boxes of
            two objects, 0 with fewer than two.
        background (np.ndarray): (pixels, 3) RGB in [0, 1] of the pixels that
            are in no bounding box, of the first 20 images.
        dropped (int): Objects that found no place.
        redrawn (int): Shapes drawn again because they found no place.
    """

    options: ColorBoxesOptions
    coco: dict
    uniform: tuple[Uniform, ...]
    max_ious: np.ndarray
    background: np.ndarray
    dropped: int
    redrawn: int


def measure(root: str | os.PathLike, split: str) -> SplitStatistics:
    """Read a split back and measure it.

    Args:
        root (str | os.PathLike): Folder of the set.
        split (str): 'train' or 'val'.

    Returns:
        SplitStatistics: The numbers.

    Raises:
        FileExistsError: If the folder holds no Color Boxes split.
        RuntimeError: If images or annotations of the split were removed.
    """
    root = Path(root)
    made_with = read_options(root, split)
    check_split(root, split, made_with)
    names = ColorBoxesOptions().to_json().keys() - {'generator'}
    options = ColorBoxesOptions(**{name: made_with[name] for name in names})

    coco = json.loads((root / annotation_file(split)).read_text())
    images, objects = coco['images'], coco['annotations']
    owners = np.array([item['image_id'] for item in objects], int)
    counts = np.bincount(owners, minlength=len(images))
    boxes = np.array([item['bbox'] for item in objects]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    by_image = np.split(boxes, np.cumsum(counts)[:-1])
    corners = np.array([item['segmentation'][0] for item in objects])
    corners = corners.reshape(-1, 4, 2)
    edges = corners[:, [1, 3]] - corners[:, :1]
    sides = np.linalg.norm(edges, axis=-1).ravel()
    angles = np.degrees(np.arctan2(edges[:, 0, 1], edges[:, 0, 0])) % 180
    labels = np.array([item['category_id'] for item in objects], int) - 1
    low, high = options.side_range
    side_bins = 17 if low < high else 1
    return SplitStatistics(
        options=options,
        coco=coco,
        uniform=(
            Uniform(
                'objects per image',
                counts,
                np.arange(options.max_objects + 2) - 0.5,
            ),
            Uniform('class', labels, np.arange(len(CLASSES) + 1)),
            Uniform(
                'side in pixels',
                sides.clip(low, high),
                np.linspace(low, high, side_bins + 1),
            ),
            Uniform('angle in degrees', angles, np.linspace(0, 180, 19)),
        ),
        max_ious=np.array(
            [np.triu(pairwise_iou(b, b), 1).max(initial=0) for b in by_image]
        ),
        background=_background(root / image_dir(split), images, by_image),
        dropped=sum(image['dropped'] for image in images),
        redrawn=sum(image['redrawn'] for image in images),
    )


def _background(
    folder: Path, images: list[dict], by_image: list[np.ndarray]
) -> np.ndarray:
    """Return the (pixels, 3) RGB outside of all boxes in some images."""
    found = []
    for image, boxes in list(zip(images, by_image))[:NOISE_IMAGES]:
        pixels = cv2.imread(str(folder / image['file_name']))[..., ::-1]
        outside = np.ones(pixels.shape[:2], bool)
        for x1, y1, x2, y2 in boxes:
            rows = slice(max(int(y1) - 1, 0), int(y2) + 2)
            outside[rows, max(int(x1) - 1, 0) : int(x2) + 2] = False
        found.append(pixels[outside])
    return np.concatenate(found) / 255
