r"""The scaling algorithm in float64, in as few operations as it is printed.

On a GPU a small operation takes as long as its launch, and absorbing factors
into the kernel, which float32 needs, is more of them than the products.
Float64 carries the scalings of ordinary problems without.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..numbers import Numbers
from ..plan import TransportPlan
from ..problem import MatchingProblem
from .moves import bound_moves

__all__ = ['accepts', 'solve']

# Greatest magnitude of log u, log v and log(K u); a float64 holds 708.
_LARGEST = 650.0


def accepts(problem: MatchingProblem, numbers: Numbers) -> bool:
    r"""Tells whether float64 is known to hold all numbers, on a GPU.

    With :math:`R = \max |C| / \epsilon` and r the greatest ratio of masses,
    the first iteration leaves the logarithms within :math:`3 R + 6 \log r`;
    the others move them as :mod:`.moves` says. An epsilon of each image is
    not known to the host.
    """
    epsilon = numbers.epsilon
    if problem.cost.device.type == 'cpu' or isinstance(epsilon, Tensor):
        return False
    if not numbers.is_plain:
        return False
    bounds = problem.bounds
    first = 3 * bounds.max_cost / epsilon + 6 * math.log(bounds.mass_ratio)
    moved = bound_moves(problem, numbers).total(numbers.num_iters)
    return first + moved < _LARGEST


def solve(
    problem: MatchingProblem, numbers: Numbers, overwrite_cost: bool = False
) -> TransportPlan:
    """Solves in about five operations per iteration.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1), not empty.
        numbers (Numbers): With one epsilon for all images.
        overwrite_cost (bool): Not used.

    Returns:
        TransportPlan: With potentials and marginal error.
    """
    epsilon = numbers.epsilon
    power1, power2 = numbers.power1, numbers.power2
    cost = problem.cost.mT
    kernel = cost.to(torch.float64, copy=True).div_(-epsilon).exp_()
    pred_live = (problem.pred_mass > 0).unsqueeze(1)
    gt_live = (problem.gt_mass > 0).unsqueeze(1)
    alpha = _raise(problem.pred_mass, pred_live, power1)
    beta = _raise(problem.gt_mass, gt_live, power2)
    # Keeps sums positive where nothing has mass.
    tiny = kernel.new_full((1, 1, 1), torch.finfo(torch.float64).tiny)

    # Alg. 2, line 4: v = 1 / (n + 1).
    v = gt_live / gt_live.sum(2, True, dtype=torch.float64).clamp_(min=1)
    for _ in range(numbers.num_iters):
        # Alg. 2, lines 6 and 7.
        row_sum = torch.baddbmm(tiny, v, kernel)
        u = _update(alpha, row_sum, power1)
        column_sum = torch.baddbmm(tiny, u, kernel.mT)
        if problem.gt_range is None:
            v = _update(beta, column_sum, power2)
        else:
            least, most = (
                problem.gt_range.unsqueeze(2) / column_sum
            ) ** power2
            v = torch.minimum(least.clamp_(min=1.0), most).mul_(gt_live)

    plan = kernel.mul_(u).mul_(v.mT)
    sent = plan.sum(1, keepdim=True)
    # u asks for alpha exp(-f / tau1), without a constraint for anything.
    asked = u * row_sum if numbers.tau1 > 0 else sent
    num_preds = pred_live.sum(2, True, dtype=torch.float64)
    weights = plan.mul_(num_preds).to(cost.dtype)
    return TransportPlan(
        weights=weights.clamp_(max=torch.finfo(cost.dtype).max).mT,
        pred_mass=problem.pred_mass,
        gt_mass=problem.gt_mass,
        pred_potential=u.squeeze(1).log().mul_(epsilon),
        gt_potential=v.squeeze(1).log().mul_(epsilon),
        marginal_error=(asked - sent).abs_().sum((1, 2)),
        gt_range=problem.gt_range,
    )


def _raise(mass: Tensor, live: Tensor, power: float | Tensor) -> Tensor:
    """(B, 1, K) mass**power, zero in the padding."""
    mass = mass.unsqueeze(1).double()
    return mass if power == 1 else mass.pow(power).mul_(live)


def _update(mass: Tensor, total: Tensor, power: float | Tensor) -> Tensor:
    """(mass / total)**power, for masses raised to it before."""
    return mass / total if power == 1 else mass * total.pow(-power)
