"""The matching of a few images, for the diagnostics of a training."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import set_random_seed
from torch import nn

from ..ot import (
    has_one_to_one,
    heaviest_prediction,
    plan_entropy,
    support_size,
)
from ..visualization import MatchedImage
from .record import record_matching
from .samples import load_dataset, pipeline_of, with_pipeline

__all__ = [
    'best_predictions',
    'describe',
    'load_images',
    'match_images',
    'without_augmentation',
]


def load_images(cfg: Config, split: str, num_images: int) -> list[dict]:
    """Loads images that are spread evenly over a dataset.

    Args:
        cfg (Config): Of the training.
        split (str): 'train', with the pipeline of validation or else of
            testing, or 'val'.
        num_images (int): How many; all, where there are fewer.

    Returns:
        list[dict]: Samples ``inputs`` (C, H, W) and ``data_samples``.

    Raises:
        ValueError: If the config has no such images, or they have no ground
            truths.
    """
    with _same_random_numbers():
        dataset = load_dataset(without_augmentation(cfg, split), split)
        count = min(num_images, len(dataset))
        samples = [dataset[i * len(dataset) // count] for i in range(count)]
    if not any(
        len(sample['data_samples'].get('gt_instances', []))
        for sample in samples
    ):
        raise ValueError(
            f'none of the {count} images of split={split!r} has ground '
            'truths; take another split, more num_images, or add '
            'LoadAnnotations to the pipeline'
        )
    return samples


def match_images(
    model: nn.Module, samples: Sequence[dict]
) -> list[MatchedImage]:
    """Matches images as in training, which is left as it was.

    Args:
        model (nn.Module): Any detector of mmdet, without a wrapper.
        samples (Sequence[dict]): Of :func:`load_images`.

    Returns:
        list[MatchedImage]: One per sample.
    """
    with _same_random_numbers(next(model.parameters()).device):
        # Each image draws the same numbers (denoising queries) every time.
        set_random_seed(0)
        return [record_matching(model, sample) for sample in samples]


def best_predictions(images: Sequence[MatchedImage]) -> list[list[int]]:
    """Per image and ground truth the heaviest prediction, -1 for none."""
    return [heaviest_prediction(_weights(x))[0].tolist() for x in images]


def describe(images: Sequence[MatchedImage]) -> dict[str, float]:
    """Numbers of the plans of images; see ``MatchingDiagnosticsHook``.

    Args:
        images (Sequence[MatchedImage]): At least one ground truth in all.

    Returns:
        dict[str, float]: ``marginal_error`` only if all plans have one.
    """
    plans = [_weights(image) for image in images]
    num_gts = sum(len(image.gt_boxes) for image in images)
    one_to_one = sum(has_one_to_one(plan).sum().item() for plan in plans)
    foreground = sum(plan[..., :-1].sum().item() for plan in plans)
    numbers = dict(
        one_to_one=one_to_one / num_gts,
        foreground_mass=foreground / num_gts,
        entropy=_mean([plan_entropy(plan) for plan in plans]),
        support=_mean([support_size(plan) for plan in plans]),
    )
    errors = [image.plan.marginal_error for image in images]
    if all(error is not None for error in errors):
        numbers['marginal_error'] = _mean(errors)
    return numbers


def _weights(image: MatchedImage) -> torch.Tensor:
    """(1, N, M + 1)."""
    return image.plan.weights[image.index : image.index + 1]


def _mean(values: Sequence[torch.Tensor]) -> float:
    return torch.cat(list(values)).double().mean().item()


def without_augmentation(cfg: Config, split: str) -> Config:
    """A config whose training images are loaded as those of validation."""
    if split != 'train':
        return cfg
    loaders = [cfg.get(f'{name}_dataloader') or {} for name in ('val', 'test')]
    pipelines = [pipeline_of(x.get('dataset', {})) for x in loaders]
    if not any(pipelines):
        raise ValueError(
            "split='train' takes the pipeline of val_dataloader.dataset or "
            'test_dataloader.dataset, which does not augment, but the config '
            'has neither; add one, if only for its pipeline'
        )
    pipeline = next(filter(None, pipelines))
    dataset = with_pipeline(cfg.train_dataloader.dataset, pipeline)
    loader = dict(dataset=dataset)
    scope = cfg.get('default_scope', 'mmdet')
    return Config(dict(default_scope=scope, train_dataloader=loader))


@contextmanager
def _same_random_numbers(
    device: torch.device | None = None,
) -> Iterator[None]:
    """Puts the random number generators back, that of a GPU too."""
    states = random.getstate(), np.random.get_state()
    on_gpu = device is not None and device.type == 'cuda'
    try:
        with torch.random.fork_rng([device] if on_gpu else []):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
