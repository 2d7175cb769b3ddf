"""How time grows with the number of predictions (paper, Fig. 6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch

from .competitors import HUNGARIAN, OURS, SOLVERS
from .task import random_task
from .timing import Clock, Time

__all__ = ['NUM_PREDS', 'GrowthPoint', 'time_growth']

NUM_PREDS = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)


@dataclass(frozen=True)
class GrowthPoint:
    """The time of a solver at one size.

    Attributes:
        solver (str): Name in ``SOLVERS``.
        num_preds (int): Predictions N per image.
        num_objects (int): Ground truths M per image.
        time (Time): Of the batch.
    """

    solver: str
    num_preds: int
    num_objects: int
    time: Time


def time_growth(
    num_objects: Sequence[int],
    clock: Clock,
    *,
    num_preds: Sequence[int] = NUM_PREDS,
    num_images: int = 16,
    seed: int = 0,
    device: torch.device | str = 'cpu',
) -> Iterator[GrowthPoint]:
    """Times our solver and the Hungarian algorithm, from small to large.

    The tasks are those of ``random_task``.

    Args:
        num_objects (Sequence[int]): Ground truths M per image.
        clock (Clock): What takes the times.
        num_preds (Sequence[int]): Predictions N per image. Defaults to 100
            to 100,000.
        num_images (int): Images B. Defaults to 16.
        seed (int): Seed of the tasks. Defaults to 0.
        device (torch.device | str): Device of the costs. Defaults to the CPU.

    Yields:
        GrowthPoint: One per solver and size.
    """
    for M, N in product(num_objects, num_preds):
        task = random_task(num_images, N, M, seed=seed, device=device)
        for name in (OURS, HUNGARIAN):
            time = clock(SOLVERS[name].prepare(task))
            yield GrowthPoint(name, N, M, time)
