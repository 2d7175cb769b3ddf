"""All data sets of a config."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import BaseDataset

from ..matched_images.samples import inner_datasets, pipeline_of
from .coco_file import CocoFile, check_boxes, check_classes, check_images
from .findings import Findings
from .use import count_used, ssd_anchors

__all__ = ['check_split']

# How OpenCV loads images as they are stored, whatever their EXIF data says.
AS_STORED = ('unchanged', 'color_ignore_orientation')


def check_split(cfg: Config, split: str) -> Iterator[tuple[str, Findings]]:
    """Checks the data sets of a data loader, one after the other.

    Args:
        cfg (Config): With ``<split>_dataloader``; its scope is the default
            one.
        split (str): 'train', 'val' or 'test'.

    Yields:
        tuple[str, Findings]: Its heading, with the numbers of images and
        boxes and a line per class, and what was found.
    """
    loader = cfg[f'{split}_dataloader']
    errors = 0
    for part in _parts(loader.dataset):
        findings = Findings()
        lines = _check_dataset(cfg, split, part, findings)
        errors += findings.num_errors
        yield '\n'.join(lines), findings
    if split == 'train' and not errors:
        findings = Findings()
        _check_batches(loader, len(_build(loader.dataset)), findings)
        if findings.examples:
            yield 'train_dataloader', findings


def _parts(dataset: dict) -> Iterator[dict]:
    inner = inner_datasets(dataset)
    if not inner:
        yield dataset
    for part in inner:
        yield from _parts(part)


def _check_dataset(
    cfg: Config, split: str, part: dict, findings: Findings
) -> list[str]:
    """Returns lines about a data set."""
    kind = part['type']
    cls = DATASETS.get(kind) if isinstance(kind, str) else kind
    if cls is None:
        raise ValueError(f'there is no data set type {kind!r}')
    if not issubclass(cls, CocoDataset) or 'ann_file' not in part:
        findings.warning('only data in COCO format is looked into')
        return [f'{split}: {len(_build(part))} images of {cls.__name__}']
    root = part.get('data_root') or ''
    path = os.path.join(root, part['ann_file'])
    try:
        file = CocoFile(path)
    except ValueError as error:
        findings.error(str(error))
        return [f'{split}: {path}']
    heading = (
        f'{split}: {len(file.images)} images, {len(file.boxes)} boxes in '
        f'{path}'
    )
    classes = cls._load_metainfo(part.get('metainfo')).get('classes', ())
    check_classes(file, classes, findings)
    check_boxes(file, findings)
    folder = os.path.join(root, part.get('data_prefix', {}).get('img', ''))
    load = next(iter(pipeline_of(part)), {})
    turns = load.get('color_type', 'color') not in AS_STORED
    check_images(file, folder, turns, findings)
    _check_head(cfg, classes, findings)
    _check_evaluator(cfg, split, path, findings)
    if findings.num_errors:
        return [heading]
    dataset = _build(part)
    there = Counter(file.names[box['category_id']] for box in file.boxes)
    used = count_used(dataset, there, ssd_anchors(cfg))
    if len(dataset) < len(file.images):
        heading += f', {len(dataset)} images used'
    return [heading, *(f'  {line}' for line in used)]


def _build(dataset: dict) -> BaseDataset:
    # COCO's library prints what it does.
    with redirect_stdout(io.StringIO()):
        return DATASETS.build(dataset)


def _check_head(
    cfg: Config, classes: tuple[str, ...], findings: Findings
) -> None:
    """Compares the number of classes with that of the detector."""
    model = cfg.get('model', {})
    for place, holder in (('', model), ('roi_head.', model.get('roi_head'))):
        heads = (holder or {}).get('bbox_head') or []
        for head in heads if isinstance(heads, list) else [heads]:
            number = head.get('num_classes', len(classes))
            if number != len(classes):
                findings.error(
                    f'model.{place}bbox_head.num_classes={number}, but there '
                    f'are {len(classes)} classes: {[*classes]}'
                )


def _check_evaluator(
    cfg: Config, split: str, path: str, findings: Findings
) -> None:
    evaluator = cfg.get(f'{split}_evaluator') or {}
    other = evaluator.get('ann_file') if isinstance(evaluator, dict) else None
    if other is not None and os.path.normpath(other) != os.path.normpath(path):
        findings.error(
            f'{split}_evaluator.ann_file={other!r} is another file than that '
            'of the data set'
        )


def _check_batches(loader: dict, images: int, findings: Findings) -> None:
    size = loader.get('batch_size', 1)
    if 'Infinite' in str(loader.get('sampler', {}).get('type')):
        # Which shows them again and again.
        return
    if loader.get('drop_last') and 0 < images < size:
        findings.error(
            f'{images} images make no batch of batch_size={size} with '
            f'drop_last=True: set batch_size to at most {images}'
        )
    elif loader.get('drop_last') and images % size:
        findings.warning(
            f'drop_last=True leaves out {images % size} of {images} images '
            'in each epoch, others each time'
        )
