"""Where the files of a split are, and whether they are the right ones.

.. code-block:: none

    <root>/annotations/train.json      COCO annotations
    <root>/train/000000.png ...        images
    <root>/train/color_boxes.json      the options they were made with
"""

from __future__ import annotations

import json
from pathlib import Path

from .scene import SPLITS

DEFAULT_NUM_IMAGES = {'train': 4800, 'val': 960}
"""Images per split in Appendix I."""

DESCRIPTION = 'Color Boxes'
OPTIONS_FILE = 'color_boxes.json'


def annotation_file(split: str) -> str:
    """Return the path of the COCO annotations of a split under its root.

    Args:
        split (str): 'train' or 'val'.

    Returns:
        str: ``annotations/<split>.json``.
    """
    check_name(split)
    return f'annotations/{split}.json'


def image_dir(split: str) -> str:
    """Return the path of the images of a split under its root.

    Args:
        split (str): 'train' or 'val'.

    Returns:
        str: ``<split>/``.
    """
    check_name(split)
    return f'{split}/'


def check_name(split: str) -> None:
    """Raise ValueError unless ``split`` is 'train' or 'val'."""
    if split not in SPLITS:
        raise ValueError(f'split must be one of {SPLITS}, got {split!r}')


def check_split(root: Path, split: str, wanted: dict) -> None:
    """Raise unless the split on disk is whole and the one asked for.

    Args:
        root (Path): Folder of the set.
        split (str): 'train' or 'val'; its image folder exists.
        wanted (dict): Number of images and options, as in the options file.

    Raises:
        FileExistsError: If the image folder holds something else.
        ValueError: If the split was made with other options.
        RuntimeError: If images or annotations have been removed.
    """
    images = root / image_dir(split)
    annotations = root / annotation_file(split)
    found = read_options(root, split)
    for name, value in wanted.items():
        if found.get(name) != value:
            raise ValueError(_mismatch(images, name, found.get(name), value))
    count = sum(1 for _ in images.glob('*.png'))
    if count != wanted['num_images'] or not annotations.exists():
        raise RuntimeError(
            f'{images} has {count} of {wanted["num_images"]} images and '
            f'{annotations} {"exists" if annotations.exists() else "is gone"}'
            f': delete {images} and the split is made again'
        )


def read_options(root: Path, split: str) -> dict:
    """Return what the split on disk was made with.

    Args:
        root (Path): Folder of the set.
        split (str): 'train' or 'val'.

    Returns:
        dict: ``num_images`` and :meth:`ColorBoxesOptions.to_json`.

    Raises:
        FileExistsError: If the image folder is not one of Color Boxes.
    """
    path = root / image_dir(split) / OPTIONS_FILE
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise FileExistsError(
            f'{path.parent} is not a Color Boxes split (no readable '
            f'{OPTIONS_FILE} in it): choose another data_root or delete it'
        ) from error


def is_color_boxes(annotations: Path) -> bool:
    """Return whether an annotation file was written by this generator.

    Args:
        annotations (Path): A JSON file.

    Returns:
        bool: True if it says so itself.
    """
    try:
        content = json.loads(annotations.read_text())
        return content['info']['description'] == DESCRIPTION
    except (ValueError, KeyError, TypeError):
        return False


def _mismatch(images: Path, name: str, found: object, wanted: object) -> str:
    ways = ['choose another data_root', f'delete {images}']
    if name == 'num_images' and found is not None and found > wanted:
        ways.insert(
            0,
            f'keep num_images={found} and add indices={wanted}, which takes '
            'the first images, the same ones',
        )
    return (
        f'{images} was made with {name}={found}, but is asked for with '
        f'{name}={wanted}: {", or ".join(ways)}'
    )
