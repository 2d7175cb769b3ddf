"""The numbers of the matching problem, as one object."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .device import can_look, may_hold
from .problem import MatchingProblem

__all__ = ['Numbers']

# Of greater exponents float64 has no digits left behind the point.
_LARGEST_EXPONENT = 1e15


@dataclass(frozen=True)
class Numbers:
    r"""What the scaling algorithm is run with (paper, Alg. 2).

    Args:
        epsilon (float | Tensor): Entropic regularisation :math:`\epsilon >
            0`, in units of the cost; one number, or (B,) one per image.
        tau1 (float): Weight :math:`\tau_1 \geq 0` of the predictions' mass
            constraint; ``math.inf`` makes it hard. Defaults to inf.
        tau2 (float): Weight :math:`\tau_2 \geq 0` of the ground truths' mass
            constraint; ``math.inf`` makes it hard. Defaults to inf.
        num_iters (int): Number of iterations, at least 1. The limit is
            reached at the first for tau1 = 0, at the second for tau2 = 0.
            Defaults to 20.
        relaxation (float): The greatest factor :math:`\omega` of
            :math:`\log v \leftarrow x' + \omega (x - x')`, where line 7 has
            just made x of v, and had made x' one iteration before; in [1, 2).
            :math:`\omega = 1 + k / (k + 3)` after the iterations k = 0, 1,
            ... until it is reached (Nesterov's momentum). With 1.8 balanced
            problems come far closer to their solution in as many iterations.
            Defaults to 1, the paper's.
        tol (float): Iterations end when those that are left would, at the
            speed of the last, move less than this share of the mass. Defaults
            to 0, which runs all ``num_iters``.

    Raises:
        ValueError: If a number is out of its range.
    """

    epsilon: float | Tensor
    tau1: float = math.inf
    tau2: float = math.inf
    num_iters: int = 20
    relaxation: float = 1.0
    tol: float = 0.0

    def __post_init__(self) -> None:
        epsilon = self.epsilon
        if isinstance(epsilon, Tensor):
            if can_look(epsilon) and not bool(
                ((epsilon > 0) & epsilon.isfinite()).all()
            ):
                raise ValueError(
                    'epsilon must be positive and finite, got '
                    f'{epsilon.tolist()}'
                )
        elif not 0 < epsilon < math.inf:
            raise ValueError(
                f'epsilon must be positive and finite, got {epsilon}; for the '
                'exact matchings at epsilon = 0 use mmdet_uot.ot.solve'
            )
        for name, tau in (('tau1', self.tau1), ('tau2', self.tau2)):
            if not tau >= 0:
                raise ValueError(
                    f'{name} must be in [0, inf], got {tau}; 0 drops the mass '
                    'constraint, math.inf makes it hard'
                )
        if self.num_iters < 1:
            raise ValueError(
                f'num_iters must be at least 1, got {self.num_iters}'
            )

        if not 1 <= self.relaxation < 2:
            raise ValueError(
                f'relaxation must be in [1, 2), got {self.relaxation}; 1 '
                'takes plain steps'
            )
        if not self.tol >= 0:
            raise ValueError(
                f'tol must be at least 0, got {self.tol}; 0 runs all '
                'iterations'
            )

    @property
    def is_plain(self) -> bool:
        """Whether the steps are the paper's, and all of them are done."""
        return self.relaxation == 1 and self.tol == 0

    def factor(self, done: int) -> float:
        r""":math:`\omega`, after so many iterations and another one."""
        return min(self.relaxation, 1 + done / (done + 3))

    def fit(self, problem: MatchingProblem) -> Numbers:
        """The numbers with which a problem can be solved.

        Epsilon is raised to 1e-15 times the greatest cost of the image. Below
        that the solver could not tell sums of exponents apart, nor keep them
        finite.

        Args:
            problem (MatchingProblem): Costs (B, N, M + 1), not empty.

        Returns:
            Numbers: These, unless epsilon is, or on a GPU might be, less.

        Raises:
            ValueError: If epsilon has not one value per image.
        """
        numbers, largest = self, problem.bounds.max_cost
        epsilon = self.epsilon
        if not isinstance(epsilon, Tensor):
            if math.isfinite(largest):
                least = largest / _LARGEST_EXPONENT
                return replace(self, epsilon=max(epsilon, least))
        elif tuple(epsilon.shape) != problem.cost.shape[:1]:
            raise ValueError(
                'epsilon must be one number or one per image '
                f'({len(problem.cost)}), got shape {tuple(epsilon.shape)}'
            )
        else:
            epsilon = epsilon.to(problem.cost.device, torch.float64)
            numbers = replace(self, epsilon=epsilon)
        # The memory behind the costs is contiguous in this order.
        cost = problem.finite_cost.mT
        magnitude = torch.maximum(cost.amax((1, 2)), -cost.amin((1, 2)))
        lowest = magnitude.double() / _LARGEST_EXPONENT
        if not may_hold(lowest > epsilon):
            return numbers
        if isinstance(epsilon, Tensor):
            return replace(self, epsilon=torch.maximum(lowest, epsilon))
        return replace(self, epsilon=lowest.clamp(min=epsilon))

    @property
    def power1(self) -> float | Tensor:
        r""":math:`\lambda_1 = \tau_1 / (\tau_1 + \epsilon)`, of u's update."""
        return _power(self.tau1, self.epsilon)

    @property
    def power2(self) -> float | Tensor:
        r""":math:`\lambda_2 = \tau_2 / (\tau_2 + \epsilon)`, of v's update."""
        return _power(self.tau2, self.epsilon)


def _power(tau: float, epsilon: float | Tensor) -> float | Tensor:
    return 1.0 if math.isinf(tau) else tau / (tau + epsilon)
