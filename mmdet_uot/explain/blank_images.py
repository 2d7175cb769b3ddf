"""A data set as its detector sees it, but for the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import BaseDataset

from ..matched_images.samples import load_dataset
from ..matched_images.summary import without_augmentation

__all__ = ['load_without_pixels']


class BlankImage:
    """Gives an image of the size that the annotation file says.

    Nothing is read: files may be missing, and thousands take seconds.

    Args:
        load (LoadImageFromFile): What loads images whose size is not said.
    """

    def __init__(self, load: LoadImageFromFile) -> None:
        self.load = load

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Adds ``img``, ``img_shape`` and ``ori_shape``."""
        shape = results.get('height'), results.get('width')
        if None in shape:
            return self.load(results)
        image = np.zeros((*shape, 3), np.uint8)
        return dict(results, img=image, img_shape=shape, ori_shape=shape)


def load_without_pixels(cfg: Config, split: str) -> BaseDataset:
    """Builds a dataset of black images with the boxes of the resized ones.

    Args:
        cfg (Config): With ``<split>_dataloader``.
        split (str): 'train', with the pipeline of validation or else of
            testing, which do not augment, 'val' or 'test'.

    Returns:
        BaseDataset: Of samples ``inputs`` and ``data_samples``.

    Raises:
        ValueError: If the config has no such dataset.
    """
    dataset = load_dataset(without_augmentation(cfg, split), split)
    _make_blank(dataset)
    return dataset


def _make_blank(dataset: Any) -> None:
    """Replaces what loads images, in any nesting of wrappers."""
    for inner in getattr(dataset, 'datasets', None) or [
        getattr(dataset, 'dataset', None)
    ]:
        if inner is not None:
            _make_blank(inner)
    pipeline = getattr(dataset, 'pipeline', None)
    if pipeline is not None:
        pipeline.transforms = [
            BlankImage(step) if isinstance(step, LoadImageFromFile) else step
            for step in pipeline.transforms
        ]
