"""An annotation file in COCO format, held against config and images."""

from __future__ import annotations

import difflib
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from .findings import Findings

__all__ = ['CocoFile', 'check_boxes', 'check_classes', 'check_images']

# What the entries of each list need.
LISTS = {
    'images': ('id', 'file_name', 'width', 'height'),
    'annotations': ('image_id',),
    'categories': ('id', 'name'),
}
# Pixels that a box may leave its image by.
ROOM = 1.0
# EXIF orientations by a quarter turn.
QUARTER_TURNS = (5, 6, 7, 8)


class CocoFile:
    """The three lists of an annotation file.

    Args:
        path (str): The file.

    Raises:
        ValueError: If it is missing or not in COCO format.
    """

    def __init__(self, path: str) -> None:
        try:
            content = json.loads(Path(path).read_text())
        except OSError as error:
            raise ValueError(
                f'cannot read ann_file {path!r} ({error.strerror}); it is '
                'taken below data_root'
            ) from None
        except ValueError as error:
            raise ValueError(f'{path!r} is not JSON: {error}') from None
        missing = [
            name
            for name in LISTS
            if not isinstance(content, dict)
            or not isinstance(content.get(name), list)
        ]
        if missing:
            raise ValueError(
                f'{path!r} is not in COCO format: no list {", ".join(missing)}'
            )
        for name, keys in LISTS.items():
            for key in keys:
                lack = sum(key not in entry for entry in content[name])
                if lack:
                    raise ValueError(
                        f'{path!r} is not in COCO format: {lack} of '
                        f'{len(content[name])} {name} have no {key!r}'
                    )
        self.images: list[dict] = content['images']
        self.boxes: list[dict] = content['annotations']
        self.names = {x['id']: x['name'] for x in content['categories']}
        self.image_of_id = {x['id']: x for x in self.images}
        self.repeated_ids = {
            name: [i for i, n in Counter(ids).items() if n > 1]
            for name, ids in (
                ('images', [x['id'] for x in self.images]),
                ('annotations', [x.get('id') for x in self.boxes]),
                ('categories', [x['id'] for x in content['categories']]),
            )
        }


def check_classes(
    file: CocoFile, classes: Sequence[str], findings: Findings
) -> None:
    """Compares the classes of a config with the categories of a file."""
    names = [*file.names.values()]
    for name in classes:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f' (did you mean {near[0]!r}?)' if near else ''
            findings.error(
                'classes of the config that are no category of the file, '
                f'which has {names}',
                f'{name!r}{hint}',
            )
    known = [name for name in names if name in classes]
    if len(known) == len(classes) and known != [*classes]:
        findings.error(
            'the order of classes must be that of the categories, which '
            f'mmdet takes whatever the config says: {known}'
        )
    unused = Counter(
        file.names.get(box.get('category_id')) for box in file.boxes
    )
    for name, number in unused.items():
        if name is not None and name not in classes:
            findings.warning(
                'categories that the config leaves out',
                f'{name!r} with {number} boxes',
            )


def check_boxes(file: CocoFile, findings: Findings) -> None:
    """Looks at ids, coordinates and areas."""
    for name, ids in file.repeated_ids.items():
        for i in ids:
            findings.error(f'ids that several {name} share', str(i))
    for box in file.boxes:
        image = file.image_of_id.get(box.get('image_id'))
        label = f'annotation {box.get("id")}'
        if image is None:
            findings.error('boxes of an image_id that no image has', label)
            continue
        label = f'{image["file_name"]} ({label})'
        if box.get('category_id') not in file.names:
            findings.error('boxes of an unknown category_id', label)
        kind = _fault(box.get('bbox'), image)
        if kind in ('not [left, top, width, height]', 'not finite'):
            findings.error(f'boxes that are {kind}', label)
        elif kind:
            findings.warning(f'boxes {kind}', label)
    with_boxes = {box.get('image_id') for box in file.boxes}
    empty = sum(image['id'] not in with_boxes for image in file.images)
    if empty:
        findings.warning(f'{empty} images have no boxes')


def _fault(box: object, image: dict) -> str | None:
    if not (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(x, (int, float)) for x in box)
    ):
        return 'not [left, top, width, height]'
    if not all(map(math.isfinite, box)):
        return 'not finite'
    left, top, width, height = box
    if width < 1 or height < 1:
        return 'without area, narrower than a pixel: mmdet leaves them out'
    right, bottom = left + width, top + height
    if right <= 0 or bottom <= 0:
        return 'beside their image: mmdet leaves them out'
    if left >= image['width'] or top >= image['height']:
        return 'beside their image: mmdet leaves them out'
    if min(left, top) < -ROOM or (
        right > image['width'] + ROOM or bottom > image['height'] + ROOM
    ):
        return 'that leave their image'
    return None


def check_images(
    file: CocoFile, folder: str, turns: bool, findings: Findings
) -> None:
    """Looks for the image files and compares their sizes.

    Args:
        file (CocoFile): With ``width`` and ``height`` of each image.
        folder (str): Of the images.
        turns (bool): Whether images are turned upright as their EXIF data
            says when they are loaded.
        findings (Findings): Where to note.
    """
    for image in file.images:
        name = image['file_name']
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            findings.error(f'image files missing in {folder!r}', name)
            continue
        try:
            with Image.open(path) as opened:
                stored = opened.size
                # Of a PNG they come after all pixels, and are rare.
                exif = {} if opened.format == 'PNG' else opened.getexif()
        except UnidentifiedImageError:
            findings.warning('images of a format not looked into', name)
            continue
        except (OSError, SyntaxError):
            findings.error('image files that cannot be read', name)
            continue
        orientation = exif.get(ExifTags.Base.Orientation)
        is_turned = turns and orientation in QUARTER_TURNS
        size = stored[::-1] if is_turned else stored
        said = image.get('width'), image.get('height')
        if said != size:
            why = (
                'images turned by their EXIF orientation, whose width and '
                'height in the file are not: their boxes are elsewhere'
                if is_turned and said == stored
                else 'images of another size than the file says'
            )
            real, named = ('x'.join(map(str, x)) for x in (size, said))
            findings.error(why, f'{name} is {real}, not {named}')
