"""A transport problem with the numbers to solve it with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmdet_uot.ot import MatchingProblem, scale_epsilon

__all__ = ['Task', 'random_task']


@dataclass(frozen=True)
class Task:
    """What every solver is given.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1) and masses; every
            prediction has mass.
        epsilon (float): Entropic regularisation.
        tau1 (float): Weight of the predictions' mass constraint. Defaults
            to inf.
        tau2 (float): Weight of the ground truths' mass constraint. Defaults
            to inf.
        num_iters (int): Iterations of the scaling algorithm. Defaults to 20.
    """

    problem: MatchingProblem
    epsilon: float
    tau1: float = math.inf
    tau2: float = math.inf
    num_iters: int = 20

    @property
    def numbers(self) -> dict[str, Any]:
        """The arguments of a solver beside the problem."""
        return dict(
            epsilon=self.epsilon,
            tau1=self.tau1,
            tau2=self.tau2,
            num_iters=self.num_iters,
        )

    @property
    def balanced(self) -> bool:
        """Whether both mass constraints are hard."""
        return math.isinf(self.tau1) and math.isinf(self.tau2)

    def images(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields each image without padding.

        Yields:
            tuple[Tensor, Tensor, Tensor]: Cost (N, n + 1), masses (N,) and
            (n + 1,).
        """
        problem = self.problem
        for cost, pred_mass, gt_mass in zip(
            problem.cost, problem.pred_mass, problem.gt_mass
        ):
            live = gt_mass > 0
            live[-1] = True
            yield cost[:, live].contiguous(), pred_mass, gt_mass[live]


def random_task(
    num_images: int,
    num_preds: int,
    num_objects: int,
    *,
    seed: int = 0,
    device: torch.device | str = 'cpu',
) -> Task:
    """A balanced task: L1 distances of random boxes, background cost 0.5.

    Args:
        num_images (int): Images B.
        num_preds (int): Predictions N of each.
        num_objects (int): Ground truths M of each.
        seed (int): Seed of the boxes. Defaults to 0.
        device (torch.device | str): Where they are. Defaults to the CPU.

    Returns:
        Task: Costs (B, N, M + 1).
    """
    generator = torch.Generator().manual_seed(seed)
    preds, objects = (
        torch.rand((num_images, count, 4), generator=generator).to(device)
        for count in (num_preds, num_objects)
    )
    cost = torch.cdist(preds, objects, p=1) / 4
    valid = cost.new_ones((num_images, num_objects), dtype=torch.bool)
    problem = MatchingProblem.from_padded(cost, valid, 0.5, max_cost=1.0)
    return Task(problem, scale_epsilon(num_preds))
