"""Make a split once, whole or not at all.

A split is written to a hidden sibling folder under a lock. When it is whole,
its annotations are moved in place, then its image folder, each in one rename:
a split whose image folder exists is whole, whatever interrupted the process.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .layout import (
    DEFAULT_NUM_IMAGES,
    OPTIONS_FILE,
    annotation_file,
    check_name,
    check_split,
    image_dir,
    is_color_boxes,
)
from .options import ColorBoxesOptions, check_int
from .write import write_split


def ensure_split(
    root: str | os.PathLike,
    split: str,
    *,
    num_images: int | None = None,
    options: ColorBoxesOptions | None = None,
    workers: int | None = None,
    generate: bool = True,
) -> None:
    """Make a split unless it is there; check that it is the one asked for.

    Several processes may call this at the same time: one makes the split, the
    others wait for it and say so on stderr. Nothing is written, and no lock
    is taken, when the split is there.

    Args:
        root (str | os.PathLike): Folder of the set.
        split (str): 'train' or 'val'.
        num_images (int, optional): Images of the split, >= 1. Defaults to
            None: 4,800 for 'train' and 960 for 'val'.
        options (ColorBoxesOptions, optional): Options of the generator.
            Defaults to None: those of Appendix I.
        workers (int, optional): Number of threads, >= 1. Defaults to None:
            one per available CPU core.
        generate (bool): Whether to make a split that is not there. Defaults
            to True.

    Raises:
        FileNotFoundError: If the split is not there and ``generate`` is
            False.
        FileExistsError: If something else is in the place of the split.
        ValueError: If the split was made with other options, or an argument
            is out of range.
        TypeError: If an argument has the wrong type.
        RuntimeError: If images or annotations of the split were removed.
        OSError: If the disk has too little room.
    """
    root = Path(root)
    check_name(split)
    options = ColorBoxesOptions() if options is None else options
    num_images = (
        DEFAULT_NUM_IMAGES[split] if num_images is None else num_images
    )
    num_images = check_int('num_images', num_images, minimum=1)
    workers = _available_cores() if workers is None else workers
    workers = check_int('workers', workers, minimum=1)

    wanted = {'num_images': num_images, **options.to_json()}
    images = root / image_dir(split)
    if not images.exists():
        if not generate:
            command = _command(root, split, num_images, options)
            raise FileNotFoundError(
                f'no Color Boxes in {images}: make them with\n  {command}\n'
                'or set generate=True'
            )
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / f'.{split}.lock', split):
            if not images.exists():
                _make_split(root, split, wanted, options, workers)
    check_split(root, split, wanted)


def refuse_misspelt(root: str | os.PathLike, split: str) -> None:
    """Raise if a folder is not there, but one of nearly its name has a split.

    Names that differ in their numbers or in what follows ``_``, ``-`` or a
    dot do not count as near.

    Args:
        root (str | os.PathLike): Folder of the set.
        split (str): 'train' or 'val'.

    Raises:
        FileNotFoundError: Names both folders.
    """
    root = Path(os.path.abspath(root))
    missing = root
    while not missing.parent.exists():
        missing = missing.parent
    if missing.exists():
        return
    names = {
        re.sub(r'\d', '', folder.name): folder
        for folder in missing.parent.iterdir()
        if (folder / root.relative_to(missing) / image_dir(split)).is_dir()
    }
    name = re.sub(r'\d', '', missing.name)
    names.pop(name, None)
    for near in difflib.get_close_matches(name, names, cutoff=0.8):
        if not re.match(rf'{re.escape(name)}[_.-]', near) and not re.match(
            rf'{re.escape(near)}[_.-]', name
        ):
            other = names[near] / root.relative_to(missing)
            raise FileNotFoundError(
                f'data_root={os.path.relpath(root)!r} is not there; did you '
                f'mean {os.path.relpath(other)!r}? To have Color Boxes made '
                f'there all the same: mkdir -p {root}'
            )


def _available_cores() -> int:
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _command(
    root: Path, split: str, num_images: int, options: ColorBoxesOptions
) -> str:
    """Return the command that makes the split."""
    words = ['python tools/make_color_boxes.py', str(root)]
    words += ['--splits', split, f'--num-{split}', str(num_images)]
    default = ColorBoxesOptions().to_json()
    for name, value in options.to_json().items():
        if value != default[name]:
            values = value if isinstance(value, list) else [value]
            words.append('--' + name.replace('_', '-'))
            words += [str(number) for number in values]
    return ' '.join(words)


@contextmanager
def _locked(path: Path, split: str) -> Iterator[None]:
    """Hold the lock of a split; say so while another process holds it."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(
            f'Color Boxes: waiting for the process that makes {split!r} '
            f'(it holds {path})',
            file=sys.stderr,
            flush=True,
        )
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make_split(
    root: Path,
    split: str,
    wanted: dict,
    options: ColorBoxesOptions,
    workers: int,
) -> None:
    """Make a split beside its place, then move it there. Needs the lock."""
    annotations = root / annotation_file(split)
    if annotations.exists() and not is_color_boxes(annotations):
        raise FileExistsError(
            f'{annotations} is not a Color Boxes file and would be replaced: '
            'choose another data_root'
        )
    for leftover in root.glob(f'.{split}.*.partial'):
        shutil.rmtree(leftover)
    _check_room(root, wanted['num_images'], options)
    partial = root / f'.{split}.{uuid.uuid4().hex}.partial'
    images = partial / 'images'
    images.mkdir(parents=True)
    try:
        write_split(
            images,
            partial / 'annotations.json',
            split=split,
            num_images=wanted['num_images'],
            options=options,
            workers=workers,
        )
        (images / OPTIONS_FILE).write_text(json.dumps(wanted, indent=2))
        annotations.parent.mkdir(exist_ok=True)
        os.replace(partial / 'annotations.json', annotations)
        os.rename(images, root / split)
    finally:
        shutil.rmtree(partial)


def _check_room(
    root: Path, num_images: int, options: ColorBoxesOptions
) -> None:
    """Raise unless the images fit on the disk, uncompressed to be safe."""
    width, height = options.image_size
    needed = num_images * width * height * 3
    free = shutil.disk_usage(root).free
    if free < needed:
        raise OSError(
            f'{num_images} Color Boxes of {width} x {height} need up to '
            f'{needed / 1e9:.2f} GB in {root}, which has {free / 1e9:.2f} '
            'GB: free some, choose another data_root or fewer images'
        )
