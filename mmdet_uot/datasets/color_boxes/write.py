"""Write the images and the COCO annotations of a split."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from .layout import DESCRIPTION
from .options import ColorBoxesOptions
from .palette import CLASSES
from .render import render_scene
from .scene import DECIMALS, Scene, image_rng, sample_scene

PNG_FLAGS = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
"""Noise does not repeat: half the time of the default, files 3 % smaller."""


def write_split(
    images: Path,
    annotations: Path,
    *,
    split: str,
    num_images: int,
    options: ColorBoxesOptions,
    workers: int,
) -> None:
    """Write the images of a split and their annotations.

    Threads are enough: nearly all the time goes into NumPy's normal numbers
    and OpenCV's compression, which free the interpreter lock. They also need
    no guarded main module and work inside daemonic processes.

    Args:
        images (Path): Existing folder that receives the images.
        annotations (Path): Annotation file to write.
        split (str): 'train' or 'val'.
        num_images (int): Number of images.
        options (ColorBoxesOptions): Options of the generator.
        workers (int): Number of threads.
    """

    def write(index: int) -> Scene:
        return _write_image(images, split, index, options)

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(write, index) for index in range(num_images)]
        try:
            scenes = list(
                tqdm(
                    (future.result() for future in futures),
                    desc=f'Color Boxes {split}',
                    total=num_images,
                    unit='image',
                    mininterval=1.0,
                )
            )
        except BaseException:
            for future in futures:
                future.cancel()
            pool.shutdown()
            raise
    with annotations.open('w') as file:
        json.dump(coco_annotations(scenes, options), file)


def coco_annotations(scenes: list[Scene], options: ColorBoxesOptions) -> dict:
    """Return the scenes of a split in COCO's format.

    Args:
        scenes (list[Scene]): The scene of each image.
        options (ColorBoxesOptions): For the size of the images.

    Returns:
        dict: COCO ``info``, ``images``, ``annotations`` and ``categories``.
        The objects of an image are in the order in which they are painted;
        ``bbox`` and ``segmentation`` are those of the whole rectangle, also
        where another one covers it. ``images`` have two more fields,
        ``dropped`` and ``redrawn`` (see :class:`Scene`).
    """
    width, height = options.image_size
    images, objects = [], []
    for image_id, scene in enumerate(scenes):
        images.append(
            {
                'id': image_id,
                'file_name': file_name(image_id),
                'width': int(width),
                'height': int(height),
                'dropped': scene.dropped,
                'redrawn': scene.redrawn,
            }
        )
        low, high = scene.boxes[:, :2], scene.boxes[:, 2:]
        bboxes = np.concatenate([low, high - low], axis=1).round(DECIMALS)
        polygons = scene.corners.reshape(-1, 8)
        for label, bbox, polygon, area in zip(
            scene.labels, bboxes, polygons, scene.areas.round(DECIMALS)
        ):
            objects.append(
                {
                    'id': len(objects) + 1,
                    'image_id': image_id,
                    'category_id': int(label) + 1,
                    'bbox': bbox.tolist(),
                    'area': float(area),
                    'segmentation': [polygon.tolist()],
                    'iscrowd': 0,
                }
            )
    categories = [
        {'id': number, 'name': name, 'supercategory': 'rectangle'}
        for number, name in enumerate(CLASSES, start=1)
    ]
    return {
        'info': {'description': DESCRIPTION},
        'images': images,
        'annotations': objects,
        'categories': categories,
    }


def file_name(index: int) -> str:
    """Return the name of an image file.

    Args:
        index (int): Index of the image in its split.

    Returns:
        str: For example ``000007.png``.
    """
    return f'{index:06d}.png'


def _write_image(
    images: Path, split: str, index: int, options: ColorBoxesOptions
) -> Scene:
    rng = image_rng(options.seed, split, index)
    scene = sample_scene(options, rng)
    image = cv2.cvtColor(render_scene(scene, options, rng), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode('.png', image, PNG_FLAGS)
    (images / file_name(index)).write_bytes(data.tobytes())
    return scene
