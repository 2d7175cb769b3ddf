"""One iteration from both initial duals (paper, Prop. 4)."""

from __future__ import annotations

import math

from torch import Tensor

from .plan import TransportPlan
from .problem import MatchingProblem

__all__ = ['dual_softmax']

# The formula grows without bound with costs / epsilon.
_LARGEST = 60.0


def dual_softmax(
    problem: MatchingProblem, *, epsilon: float | Tensor = 1.0
) -> TransportPlan:
    r"""Both half-steps of the balanced algorithm from the initial duals.

    With :math:`K = \exp(-C / \epsilon)`, :math:`u_0 = 1 / N` and :math:`v_0 =
    1 / (n + 1)`, the plan is that of Eq. (21) and (28),

    .. math::
        P_{ij} = \frac{\alpha_i \beta_j}{u_0 v_0}
                 \frac{K_{ij}}{\sum_i K_{ij} \sum_j K_{ij}},

    up to a constant: the paper's (28) has the factor 1 where this has
    :math:`(n + 1) / N`, by which equal costs give total mass 1. It is not
    the solution of a transport problem and respects no mass.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1) and masses.
        epsilon (float | Tensor): Softness, in units of the cost; one number
            or (B,). Defaults to 1.

    Returns:
        TransportPlan: Weights (B, N, M + 1) in the dtype of the cost.
    """
    problem.check_fixed_mass()
    if isinstance(epsilon, Tensor):
        epsilon = epsilon.view(-1, 1, 1)
    exponent = (problem.cost.double() / -epsilon).masked_fill(
        problem.padding, -math.inf
    )
    alpha = problem.pred_mass.double().unsqueeze(2)
    beta = problem.gt_mass.double().unsqueeze(1)
    num_rows = (alpha > 0).sum(1, keepdim=True)
    num_columns = (beta > 0).sum(2, keepdim=True)
    log_plan = (
        exponent
        - exponent.logsumexp(1, keepdim=True)
        - exponent.logsumexp(2, keepdim=True)
    )
    # alpha beta / (u0 v0), times N for weights; padding was -inf - (-inf).
    factor = alpha * beta * num_rows * num_columns * num_rows
    weights = factor * log_plan.clamp(max=_LARGEST).exp().nan_to_num(0.0)
    return TransportPlan(
        weights.to(problem.cost.dtype), problem.pred_mass, problem.gt_mass
    )
