"""Solvers with entropy, whose epsilon follows the size of the problem."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .device import can_look, to_device
from .dual_softmax import dual_softmax
from .epsilon import EPSILON_RULES, scale_epsilon, support_size
from .numbers import Numbers
from .plan import TransportPlan
from .problem import MatchingProblem
from .scaling.sinkhorn import solve_scaling
from .solver import Solver

__all__ = ['DualSoftmaxSolver', 'ScalingSolver']


@dataclass(frozen=True)
class _RegularisedSolver(Solver):
    epsilon: float | None = None
    epsilon0: float | None = None
    epsilon_rule: str = 'log_2n'

    is_exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.epsilon is not None and self.epsilon0 is not None:
            raise ValueError(
                'give epsilon or epsilon0, not both: got epsilon='
                f'{self.epsilon} and epsilon0={self.epsilon0}'
            )
        for name in ('epsilon', 'epsilon0'):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, (int, float)) or not (
                0 < value < math.inf
            ):
                raise ValueError(
                    f'{name} must be positive and finite, got {value!r}; '
                    'epsilon=0 asks for an exact matcher'
                )
        rules = (*EPSILON_RULES, 'support')
        if self.epsilon_rule not in rules:
            raise ValueError(
                f'epsilon_rule must be one of {rules}, got '
                f'{self.epsilon_rule!r}'
            )

    def __call__(
        self,
        problem: MatchingProblem,
        tau1: float,
        tau2: float,
        overwrite_cost: bool = False,
    ) -> TransportPlan:
        """See :class:`Solver`."""
        if self.epsilon_rule == 'support' and self.epsilon is None:
            epsilon = self._scaled_epsilon(problem, 'log_n')
            plan = self._solve(problem, epsilon, tau1, tau2, False)
            size = support_size(plan.weights).double()
            epsilon = self._epsilon0 / (size.log() + 1)
        else:
            epsilon = self._scaled_epsilon(problem, self.epsilon_rule)
        return self._solve(problem, epsilon, tau1, tau2, overwrite_cost)

    @property
    def _epsilon0(self) -> float:
        return 0.12 if self.epsilon0 is None else self.epsilon0

    def _scaled_epsilon(
        self, problem: MatchingProblem, rule: str
    ) -> float | Tensor:
        """One number for all images, where there is one, is solved faster."""
        if self.epsilon is not None:
            return self.epsilon
        counts = problem.bounds.num_preds
        if counts is None and can_look(problem.pred_mass):
            counts = tuple(problem.num_preds.int().tolist())
        if counts is None:
            size = problem.num_preds.double().clamp(min=1)
            factor = EPSILON_RULES[rule](1)
            return self._epsilon0 / ((factor * size).log() + 1)
        values = {
            count: scale_epsilon(max(count, 1), self._epsilon0, rule)
            for count in set(counts)
        }
        if len(values) == 1:
            return values[counts[0]]
        of_images = [values[count] for count in counts]
        return to_device(of_images, problem.cost.device, torch.float64)

    def _solve(
        self,
        problem: MatchingProblem,
        epsilon: float | Tensor,
        tau1: float,
        tau2: float,
        overwrite_cost: bool,
    ) -> TransportPlan:
        raise NotImplementedError


@dataclass(frozen=True)
class ScalingSolver(_RegularisedSolver):
    """The scaling algorithm (paper, Alg. 1 and 2), see :func:`sinkhorn`.

    Args:
        epsilon (float, optional): Entropic regularisation, positive, in units
            of the cost. Defaults to None, which leaves it to ``epsilon0``.
        epsilon0 (float, optional): Scale of the regularisation, in units of
            the cost; see ``epsilon_rule``. Defaults to 0.12.
        epsilon_rule (str): ``'log_2n'``: epsilon0 / (log(2N) + 1), Sec. 4.1;
            ``'log_n'``: epsilon0 / (log(N) + 1), App. D; ``'support'``:
            epsilon0 / (log k + 1) with the support size k (Prop. 8) of the
            plan that ``'log_n'`` gives, at the price of a second solve. N
            counts the predictions that take part. Defaults to ``'log_2n'``.
        num_iters (int): Number of iterations. Defaults to 20.
        relaxation (float): See :class:`Numbers`. Defaults to 1.
        tol (float): See :class:`Numbers`. Defaults to 0.

    Raises:
        ValueError: If an option is out of its range.
    """

    num_iters: int = 20
    relaxation: float = 1.0
    tol: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.num_iters, int) or self.num_iters < 1:
            raise ValueError(
                'num_iters must be a whole number of at least 1, got '
                f'{self.num_iters!r}'
            )
        Numbers(1.0, relaxation=self.relaxation, tol=self.tol)  # in range

    @property
    def takes_ranges(self) -> bool:
        """See :class:`Solver`."""
        return True

    @property
    def copies(self) -> int:  # type: ignore[override]
        """The support size is that of a sorted plan."""
        return 12 if self.epsilon_rule == 'support' else 8

    def _solve(
        self,
        problem: MatchingProblem,
        epsilon: float | Tensor,
        tau1: float,
        tau2: float,
        overwrite_cost: bool,
    ) -> TransportPlan:
        numbers = Numbers(
            epsilon, tau1, tau2, self.num_iters, self.relaxation, self.tol
        )
        return solve_scaling(problem, numbers, overwrite_cost)

    def numbers(
        self, problem: MatchingProblem, tau1: float, tau2: float
    ) -> Numbers:
        """The numbers with which a problem is solved; not by ``'support'``."""
        epsilon = self._scaled_epsilon(problem, self.epsilon_rule)
        return Numbers(
            epsilon, tau1, tau2, self.num_iters, self.relaxation, self.tol
        )


@dataclass(frozen=True)
class DualSoftmaxSolver(_RegularisedSolver):
    """Both half-steps at once, see :func:`dual_softmax`.

    Args:
        epsilon (float, optional): Softness, in units of the cost. Defaults to
            1, unless ``epsilon0`` is given.
        epsilon0 (float, optional): See :class:`ScalingSolver`. Defaults to
            None.
        epsilon_rule (str): See :class:`ScalingSolver`.
    """

    # Works in float64, out of place.
    copies: ClassVar[int] = 12

    def __post_init__(self) -> None:
        if self.epsilon is None and self.epsilon0 is None:
            object.__setattr__(self, 'epsilon', 1.0)
        super().__post_init__()

    def _solve(
        self,
        problem: MatchingProblem,
        epsilon: float | Tensor,
        tau1: float,
        tau2: float,
        overwrite_cost: bool,
    ) -> TransportPlan:
        return dual_softmax(problem, epsilon=epsilon)
