r"""The corners of the problem without regularisation, epsilon = 0."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .device import can_look
from .plan import TransportPlan, hard_weights
from .problem import MatchingProblem
from .repeat import asked_counts, assign_repeatedly
from .sparse_plan import SparsePlan

__all__ = [
    'EXACT_CORNERS',
    'check_corner',
    'closest_ground_truth',
    'closest_prediction',
    'hungarian',
    'two_stage',
]


def hungarian(problem: MatchingProblem) -> TransportPlan:
    r"""Bipartite matching (tau1 = tau2 = inf; paper, Def. 2 and Prop. 1).

    .. math::
        \min_\sigma \sum_j C_{\sigma(j), j} - C_{\sigma(j), \emptyset}

    over the one-to-one matchings of all ground truths, or of as many as there
    are predictions. A ground truth with the mass of k predictions counts k
    times; fractions are rounded up. With a constant background cost this is
    the minimum of the costs themselves. Of pairs that are excluded as few as
    possible are left over, unmatched. Solved on the CPU by lapx where it is
    installed, else by SciPy.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1).

    Returns:
        TransportPlan: Weights 0 and 1.
    """
    problem.check_fixed_mass()
    # Differences, so that a constant background cancels without rounding.
    background = problem.cost[..., -1:]
    price = problem.cost[..., :-1]
    excluded = price.isinf() if problem.bounds.excludes else None
    if _may_vary(background):
        background = (background - background[:, :1]).mT.double()
        price = (price.mT.double() - background).mT
    if excluded is not None:
        price = _forbid(price, excluded)
    pairs = assign_repeatedly(price, problem.pred_mass, _asked_counts(problem))
    if excluded is not None:
        allowed = ~excluded[pairs]
        pairs = pairs[0][allowed], pairs[1][allowed], pairs[2][allowed]
    return SparsePlan.one_each(pairs, problem.pred_mass, problem.gt_mass)


def closest_ground_truth(problem: MatchingProblem) -> TransportPlan:
    r"""Each prediction takes the closest column (tau1 = inf, tau2 = 0).

    Prop. 2: :math:`\hat P_{ij} = \alpha_i` for :math:`j = \arg\min_j C_{ij}`,
    background included, whose cost is therefore a threshold. Among equal
    costs the first ground truth wins, and any wins against the background.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1).

    Returns:
        TransportPlan: Weights, one non-zero entry per row.
    """
    indices = _closest_columns(_without_padding(problem))
    return _hard_plan(problem, indices, _sent(problem))


def closest_prediction(problem: MatchingProblem) -> TransportPlan:
    r"""Each ground truth takes the closest prediction (tau1 = 0, tau2 = inf).

    :math:`\hat P_{ij} = \beta_j` for :math:`i = \arg\min_i C_{ij}`; a
    prediction may be taken several times. Among equal costs the first
    prediction wins. So it is with the background, whose mass is shared evenly
    by its closest predictions: with a constant cost all are, then those that
    no ground truth takes.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1).

    Returns:
        TransportPlan: Weights, one non-zero entry per ground truth.
    """
    problem.check_fixed_mass()
    weights = torch.zeros_like(problem.cost.mT).mT
    if problem.cost.numel():
        received = problem.num_preds.view(-1, 1, 1) * problem.gt_mass[:, None]
        cost, live = _without_padding(problem), problem.pred_mass > 0
        if cost.shape[2] > 1:
            row = cost[..., :-1].argmin(1, keepdim=True)
            weights[..., :-1].scatter_(1, row, received[..., :-1])
        background = cost[..., -1].where(live, math.inf)
        closest = live & (background == background.amin(1, keepdim=True))
        free = closest & (weights.sum(2) == 0)
        share = free.where(free.any(1, keepdim=True), closest)
        count = share.sum(1, keepdim=True).clamp(min=1)
        weights[..., -1] = share * received[..., -1] / count
    return TransportPlan(weights, problem.pred_mass, problem.gt_mass)


def two_stage(problem: MatchingProblem) -> TransportPlan:
    r"""SSD's matching (Sec. 3.2): closest prediction, then ground truth.

    Each ground truth takes the closest prediction; every other prediction
    takes the closest ground truth if that costs no more than the background.
    With the cost 1 - IoU and the background cost 0.5 this is mmdet's
    ``MaxIoUAssigner`` with thresholds 0.5 and ``gt_max_assign_all=False``:
    a prediction that is the closest of several ground truths goes to the
    last of them, and among equally close predictions the first is taken.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1).

    Returns:
        TransportPlan: Weights, one non-zero entry per row.
    """
    problem.check_fixed_mass()
    cost = _without_padding(problem)
    second = _closest_columns(cost)
    cost = cost[..., :-1]
    if 0 in cost.shape:
        return _hard_plan(problem, second)
    column = torch.arange(cost.shape[2], device=cost.device)
    column = column.where(problem.gt_mass[:, :-1] > 0, -1)
    first = torch.full_like(second, -1).scatter_reduce_(
        1, cost.argmin(1), column, 'amax'
    )
    return _hard_plan(problem, torch.where(first >= 0, first, second))


# (tau1, tau2) -> matcher at epsilon = 0.
EXACT_CORNERS: dict[
    tuple[float, float], Callable[[MatchingProblem], TransportPlan]
] = {
    (math.inf, math.inf): hungarian,
    (math.inf, 0.0): closest_ground_truth,
    (0.0, math.inf): closest_prediction,
}


def check_corner(tau1: float, tau2: float) -> None:
    """Raises ValueError if epsilon = 0 has no exact matcher there."""
    if (tau1, tau2) not in EXACT_CORNERS:
        raise ValueError(
            f'epsilon=0 with tau1={tau1}, tau2={tau2} has no exact matcher; '
            f'use one of (tau1, tau2) = {list(EXACT_CORNERS)}, or epsilon > 0'
        )


def _asked_counts(problem: MatchingProblem) -> Tensor:
    """(B, M) int64, how many predictions each ground truth asks for."""
    if problem.bounds.one_each:
        return problem.gt_mass[:, :-1].sign().long()
    return asked_counts(problem.pred_mass, problem.gt_mass)


def _may_vary(background: Tensor) -> bool:
    """Tells whether a cost (B, N, 1) may not be one number per image."""
    if not can_look(background):
        return True
    rows = background.numpy()  # It compares several times as fast as torch.
    return bool((rows != rows[:, :1]).any())


def _forbid(price: Tensor, excluded: Tensor) -> Tensor:
    """A price that one excluded pair less is worth all others."""
    price = price.double().masked_fill(excluded, 0.0)
    most = price.abs().sum((1, 2), keepdim=True) + 1
    return torch.where(excluded, 2 * most, price)


def _without_padding(problem: MatchingProblem) -> Tensor:
    """The cost, infinite for padded ground truths; a copy.

    The background stays, whatever its mass: it is the threshold.
    """
    cost = problem.cost.clone()
    cost[..., :-1].masked_fill_(problem.padding[..., :-1], math.inf)
    return cost


def _closest_columns(cost: Tensor) -> Tensor:
    """(B, N) ground truth of the least cost, -1 for the background."""
    column = cost.min(2).indices  # On CPUs argmin takes three times as long.
    return column.masked_fill(column == cost.shape[2] - 1, -1)


def _sent(problem: MatchingProblem) -> Tensor | None:
    """(B, N) N alpha; None for the masses of Prop. 1, where it is 1."""
    if math.isfinite(problem.bounds.mass_ratio):
        return None
    return problem.num_preds.unsqueeze(1) * problem.pred_mass


def _hard_plan(
    problem: MatchingProblem, indices: Tensor, sent: Tensor | None = None
) -> TransportPlan:
    weights = hard_weights(
        indices,
        problem.cost.shape[2] - 1,
        ignored=problem.pred_mass == 0,
        dtype=problem.cost.dtype,
    )
    if sent is not None:
        weights *= sent.unsqueeze(2)
    return TransportPlan(weights, problem.pred_mass, problem.gt_mass)
