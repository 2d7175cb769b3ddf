"""Solvers as objects, and one entry for all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, ClassVar

from torch import Tensor

from .cheapest import cheapest_predictions
from .exact import EXACT_CORNERS, check_corner, two_stage
from .plan import TransportPlan
from .problem import MatchingProblem
from .scaling.sinkhorn import sinkhorn

__all__ = [
    'CheapestSolver',
    'ExactSolver',
    'Solver',
    'TwoStageSolver',
    'solve',
]


def solve(
    problem: MatchingProblem,
    *,
    epsilon: float | Tensor,
    tau1: float = math.inf,
    tau2: float = math.inf,
    num_iters: int = 20,
    overwrite_cost: bool = False,
) -> TransportPlan:
    r"""Solves the matching problem (paper, Def. 1 to 4).

    For :math:`\epsilon > 0` this is :func:`sinkhorn`; for :math:`\epsilon =
    0` the exact matcher of the corner:

    ======  ======  ==========================================================
    tau1    tau2    matcher at epsilon = 0
    ======  ======  ==========================================================
    inf     inf     Hungarian (Prop. 1)
    inf     0       closest ground truth, background as threshold (Prop. 2)
    0       inf     closest prediction
    ======  ======  ==========================================================

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1) and masses.
        epsilon (float | Tensor): Entropic regularisation, in units of the
            cost; one number, or (B,) one positive number per image.
        tau1 (float): Weight of the predictions' mass constraint. Defaults
            to inf.
        tau2 (float): Weight of the ground truths' mass constraint. Defaults
            to inf.
        num_iters (int): Number of iterations for a positive epsilon.
            Defaults to 20.
        overwrite_cost (bool): See :func:`sinkhorn`. Defaults to False.

    Returns:
        TransportPlan: Weights (B, N, M + 1).

    Raises:
        ValueError: If a parameter is out of its range, or epsilon is 0 at a
            combination of tau1 and tau2 that has no exact matcher.
    """
    if isinstance(epsilon, Tensor) or epsilon != 0:
        return sinkhorn(
            problem,
            epsilon=epsilon,
            tau1=tau1,
            tau2=tau2,
            num_iters=num_iters,
            overwrite_cost=overwrite_cost,
        )
    return ExactSolver()(problem, tau1, tau2)


Matcher = Callable[[MatchingProblem], TransportPlan]


@dataclass(frozen=True)
class Solver:
    """Solves problems with what the masses' weights tau1 and tau2 ask for.

    Attributes:
        is_exact (bool): Whether epsilon is 0: costs then need no unit.
        copies (int): How much it holds at most, in float32 plans.
    """

    is_exact: ClassVar[bool] = True
    copies: ClassVar[int] = 8

    def __call__(
        self,
        problem: MatchingProblem,
        tau1: float,
        tau2: float,
        overwrite_cost: bool = False,
    ) -> TransportPlan:
        """Solves a batch of problems.

        Args:
            problem (MatchingProblem): Costs (B, N, M + 1) and masses.
            tau1 (float): Weight of the predictions' mass constraint.
            tau2 (float): Weight of the ground truths' mass constraint.
            overwrite_cost (bool): Whether the plan may take the memory of
                ``problem.cost``. Defaults to False.

        Returns:
            TransportPlan: Weights (B, N, M + 1).
        """
        return self._matcher(tau1, tau2)(problem)

    def _matcher(self, tau1: float, tau2: float) -> Matcher:
        raise NotImplementedError

    def check(self, tau1: float, tau2: float) -> None:
        """Raises ValueError if there is no solution for tau1 and tau2."""

    @property
    def takes_ranges(self) -> bool:
        """Whether masses may be ranges."""
        return False


@dataclass(frozen=True)
class ExactSolver(Solver):
    """The exact matcher, epsilon = 0, of a corner (tau1, tau2)."""

    def _matcher(self, tau1: float, tau2: float) -> Matcher:
        self.check(tau1, tau2)
        return EXACT_CORNERS[tau1, tau2]

    def check(self, tau1: float, tau2: float) -> None:
        """See :class:`Solver`."""
        check_corner(tau1, tau2)


@dataclass(frozen=True)
class TwoStageSolver(Solver):
    """SSD's matching, see :func:`two_stage`, whatever tau1 and tau2."""

    def _matcher(self, tau1: float, tau2: float) -> Matcher:
        return two_stage


@dataclass(frozen=True)
class CheapestSolver(Solver):
    """SimOTA's and TAL's matching, see :func:`cheapest_predictions`."""

    def _matcher(self, tau1: float, tau2: float) -> Matcher:
        return cheapest_predictions
