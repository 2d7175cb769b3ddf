"""Images of a config's datasets, as its detector sees them."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope

__all__ = ['find_image', 'load_dataset', 'pixels']


def load_dataset(cfg: Config, split: str) -> BaseDataset:
    """Builds a dataset whose ground truths are those of the resized images.

    MMDetection's testing pipelines load them after the image has been
    resized, at their original size, which is what evaluators take.

    Args:
        cfg (Config): With ``<split>_dataloader``.
        split (str): 'train', 'val' or 'test'.

    Returns:
        BaseDataset: Of samples ``inputs`` and ``data_samples``.

    Raises:
        ValueError: If the config has no such dataset, or no pipeline in it.
    """
    loader = cfg.get(f'{split}_dataloader') or {}
    dataset = copy.deepcopy(loader.get('dataset', {}))
    pipelines = [part['pipeline'] for part in _parts(dataset)]
    if not pipelines:
        raise ValueError(
            f'the config has no {split}_dataloader.dataset.pipeline'
        )
    for pipeline in pipelines:
        pipeline.sort(
            key=lambda step: not step['type'].split('.')[-1].startswith('Load')
        )
    scope = cfg.get('default_scope', 'mmdet')
    with DefaultScope.overwrite_default_scope(scope):
        return DATASETS.build(dataset)


def _parts(dataset: dict) -> list[dict]:
    """A dataset and those that it repeats, mixes or joins."""
    inner = [*dataset.get('datasets', [])]
    if 'dataset' in dataset:
        inner.append(dataset['dataset'])
    parts = [dataset] if 'pipeline' in dataset else []
    return parts + [x for part in inner for x in _parts(part)]


def find_image(dataset: BaseDataset, image: str) -> int:
    """Finds an image by its index or its file name.

    Args:
        dataset (BaseDataset): Where.
        image (str): '12', '000012.png' or a path that ends in that.

    Returns:
        int: Its index.

    Raises:
        ValueError: If it is not there.
    """
    if len(dataset) == 0:
        raise ValueError('the dataset has no images')
    if image.isdigit() and int(image) < len(dataset):
        return int(image)
    for index in range(len(dataset)):
        path = Path(dataset.get_data_info(index)['img_path'])
        if path.name == Path(image).name:
            return index
    first = Path(dataset.get_data_info(0)['img_path']).name
    raise ValueError(
        f'no image {image!r} in the dataset; give an index from 0 to '
        f'{len(dataset) - 1}, or a file name like {first}'
    )


def pixels(sample: dict) -> np.ndarray:
    """The image of a sample.

    Args:
        sample (dict): With ``inputs`` (3, H, W), BGR, as mmdet loads images.

    Returns:
        np.ndarray: (H, W, 3) uint8, RGB.
    """
    # Some augmentations leave floating numbers, which may be out of range.
    rgb = sample['inputs'].flip(0).clamp(0, 255).byte()
    return rgb.permute(1, 2, 0).numpy()
