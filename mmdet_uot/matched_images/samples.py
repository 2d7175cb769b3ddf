"""Images of a config's datasets, as its detector sees them."""

from __future__ import annotations

import copy
from pathlib import Path

from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope

__all__ = [
    'class_names',
    'find_image',
    'inner_datasets',
    'load_dataset',
    'pipeline_of',
    'with_pipeline',
]


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
    if not pipeline_of(dataset):
        raise ValueError(
            f'the config has no {split}_dataloader.dataset.pipeline'
        )
    _load_first(dataset)
    scope = cfg.get('default_scope', 'mmdet')
    with DefaultScope.overwrite_default_scope(scope):
        return DATASETS.build(dataset)


def pipeline_of(dataset: dict) -> list[dict]:
    """All steps of the images of a dataset, of the first one if it joins some.

    Args:
        dataset (dict): Config of a dataset or of any nesting of wrappers.

    Returns:
        list[dict]: Those of the wrappers last; empty if there are none.
    """
    inner = inner_datasets(dataset)
    steps = pipeline_of(inner[0]) if inner else []
    return [*steps, *dataset.get('pipeline', [])]


def with_pipeline(dataset: dict, pipeline: list[dict]) -> dict:
    """Joins what wrappers join, each image once, with another pipeline.

    Args:
        dataset (dict): Config of a dataset or of any nesting of wrappers.
        pipeline (list[dict]): In the place of theirs.

    Returns:
        dict: Without wrappers that repeat, choose or mix images.
    """
    inner = [with_pipeline(x, pipeline) for x in inner_datasets(dataset)]
    if 'datasets' in dataset:
        return dict(dataset, datasets=inner)
    return inner[0] if inner else dict(dataset, pipeline=pipeline)


def class_names(dataset: BaseDataset) -> tuple[str, ...]:
    """Names of the classes, of the first one if datasets differ in them."""
    metainfo = dataset.metainfo
    # Datasets that differ have a list of them.
    metainfo = metainfo[0] if isinstance(metainfo, list) else metainfo
    return metainfo['classes']


def inner_datasets(dataset: dict) -> list[dict]:
    """What a wrapper wraps."""
    if 'datasets' in dataset:
        return list(dataset['datasets'])
    return [dataset['dataset']] if 'dataset' in dataset else []


def _load_first(dataset: dict) -> None:
    """Sorts each pipeline: what loads, then the rest."""
    if 'pipeline' in dataset:
        dataset['pipeline'] = sorted(dataset['pipeline'], key=_loads_nothing)
    for inner in inner_datasets(dataset):
        _load_first(inner)


def _loads_nothing(step: dict) -> bool:
    # A config in pure Python has the class itself.
    kind = getattr(step['type'], '__name__', step['type'])
    return not kind.split('.')[-1].startswith('Load')


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
