"""Batches whose images and random numbers follow from their number."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count, islice
from typing import Any, Tuple

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_rank
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset, IterableDataset

__all__ = ['NumberedBatches']

Place = Tuple[int, int, int]


class NumberedBatches:
    """What `IterBasedTrainLoop` takes its batches from, at any iteration.

    A batch and the random numbers of its images are the same whatever was
    before and however many workers load it. The generators of the process
    are seeded, too, before each step.

    Args:
        runner (Runner): Of a loop without epochs.
        seed (int): Of the training, the same in all processes; the sampler
            has it.

    Raises:
        ValueError: If the sampler is neither ``InfiniteSampler`` nor
            ``DefaultSampler``.
    """

    def __init__(self, runner: Runner, seed: int) -> None:
        self.runner, self.seeds = runner, (seed, get_rank())
        loader = runner.train_dataloader
        sampler = getattr(loader.batch_sampler, 'sampler', None)
        known = isinstance(sampler, (DefaultSampler, InfiniteSampler))
        if not known or isinstance(loader.dataset, IterableDataset):
            raise ValueError(
                'ReproducibleResumeHook with IterBasedTrainLoop needs '
                'train_dataloader.sampler=dict(type="InfiniteSampler") or '
                f'DefaultSampler, got {type(sampler).__name__}, whose order '
                'it cannot repeat; take one of them, EpochBasedTrainLoop, or '
                'leave out the hook'
            )
        # OpenMMLab's MMEngine asks for each batch that was trained on.
        loop = runner.train_loop
        asks = not hasattr(loop, 'fast_forward_on_resume')
        self.not_wanted = loop.iter if asks else 0
        self.batches: Iterator[Any] | None = None

    def skip_iter(self, num_iters: int) -> None:
        """What MMEngine's fork calls after a resume; nothing is to be done."""

    def __iter__(self) -> NumberedBatches:
        return self

    def __next__(self) -> Any:
        if self.not_wanted > 0:
            self.not_wanted -= 1
            return None
        if self.batches is None:
            self.batches = iter(self._loader(self.runner.iter))
        batch = next(self.batches)
        _seed_generators(*self.seeds, self.runner.iter)
        return batch

    def _loader(self, start: int) -> DataLoader:
        """A data loader as that of the training, from a batch on."""
        loader = self.runner.train_dataloader
        return DataLoader(
            _SeededImages(loader.dataset, self.seeds),
            batch_sampler=_Places(loader.batch_sampler, start),
            **{
                name: getattr(loader, name)
                for name in (
                    'collate_fn',
                    'multiprocessing_context',
                    'num_workers',
                    'pin_memory',
                    'prefetch_factor',
                    'timeout',
                    'worker_init_fn',
                )
            },
        )


class _Places:
    """Batches of (number of the batch, place in it, index of the image)."""

    def __init__(self, batch_sampler: Any, start: int) -> None:
        self.batch_sampler, self.start = batch_sampler, start

    def __iter__(self) -> Iterator[list[Place]]:
        batches = islice(enumerate(self._indices()), self.start, None)
        for number, batch in batches:
            # From 1: numbers without a place are those of the step.
            yield [(number, i, index) for i, index in enumerate(batch, 1)]

    def _indices(self) -> Iterator[list[int]]:
        sampler = self.batch_sampler.sampler
        for epoch in count():
            if isinstance(sampler, InfiniteSampler):
                # From its beginning.
                sampler.indices = sampler._indices_of_rank()
            sampler.set_epoch(epoch)
            yield from self.batch_sampler


class _SeededImages(Dataset):
    """Seeds the generators for the place where an image is asked for."""

    def __init__(self, dataset: Dataset, seeds: tuple[int, int]) -> None:
        self.dataset, self.seeds = dataset, seeds

    def __getitem__(self, place: Place) -> Any:
        *numbers, index = place
        _seed_generators(*self.seeds, *numbers)
        return self.dataset[index]


def _seed_generators(*numbers: int) -> None:
    """Seeds Python, NumPy and PyTorch by some numbers."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
