"""Each ground truth takes its cheapest predictions (SimOTA, TAL)."""

from __future__ import annotations

import math

import torch

from .plan import TransportPlan, hard_weights
from .problem import MatchingProblem
from .repeat import asked_counts, greatest_of_each

__all__ = ['cheapest_predictions']


def cheapest_predictions(problem: MatchingProblem) -> TransportPlan:
    r"""Each ground truth takes the k cheapest predictions.

    That is the closest prediction (tau1 = 0, tau2 = inf) with room for one
    prediction's mass in a pair,

    .. math::
        \min_P \langle C, P \rangle, \qquad
        P^\top 1 = \beta, \quad P_{ij} \leq \alpha_i.

    A prediction that is taken several times goes to the ground truth for
    which it is cheapest, of all; one that is not taken, to the background.
    The background cost does not count.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1).

    Returns:
        TransportPlan: Weights, one non-zero entry per row.
    """
    problem.check_fixed_mass()
    cost = problem.cost[..., :-1].masked_fill(
        problem.padding[..., :-1], math.inf
    )
    indices = torch.full_like(problem.pred_mass, -1, dtype=torch.int64)
    if cost.numel():
        counts = asked_counts(problem.pred_mass, problem.gt_mass)
        taken = greatest_of_each(-cost, counts) & cost.isfinite()
        times = taken.sum(2)
        cheapest = torch.where(
            times > 1, cost.argmin(2), taken.byte().argmax(2)
        )
        indices = torch.where(times > 0, cheapest, -1)
    weights = hard_weights(
        indices,
        cost.shape[2],
        ignored=problem.pred_mass == 0,
        dtype=cost.dtype,
    )
    return TransportPlan(weights, problem.pred_mass, problem.gt_mass)
