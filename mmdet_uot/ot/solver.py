"""One entry for every matcher: the four numbers decide."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from .exact import closest_ground_truth, closest_prediction, hungarian
from .plan import TransportPlan
from .problem import MatchingProblem
from .scaling.sinkhorn import sinkhorn

__all__ = ['EXACT_CORNERS', 'check_corner', 'solve']

# (tau1, tau2) -> matcher at epsilon = 0.
EXACT_CORNERS: dict[
    tuple[float, float], Callable[[MatchingProblem], TransportPlan]
] = {
    (math.inf, math.inf): hungarian,
    (math.inf, 0.0): closest_ground_truth,
    (0.0, math.inf): closest_prediction,
}


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
    check_corner(tau1, tau2)
    return EXACT_CORNERS[tau1, tau2](problem)


def check_corner(tau1: float, tau2: float) -> None:
    """Raises ValueError if epsilon = 0 has no exact matcher there."""
    if (tau1, tau2) not in EXACT_CORNERS:
        raise ValueError(
            f'epsilon=0 with tau1={tau1}, tau2={tau2} has no exact matcher; '
            f'use one of (tau1, tau2) = {list(EXACT_CORNERS)}, or epsilon > 0'
        )
