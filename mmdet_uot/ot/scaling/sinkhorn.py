r"""The scaling algorithm, balanced and unbalanced (paper, Alg. 1 and 2).

Primal (Def. 4), with :math:`K = \exp(-C / \epsilon)`:

.. math::
    \min_P \; \epsilon \mathrm{KL}(P | K) + \tau_1 \mathrm{KL}(P 1 | \alpha)
    + \tau_2 \mathrm{KL}(P^\top 1 | \beta).

The algorithm starts from :math:`v = 1 / (n + 1)` and alternates

.. math::
    u \leftarrow (\alpha / K v)^{\tau_1 / (\tau_1 + \epsilon)}, \qquad
    v \leftarrow (\beta / K^\top u)^{\tau_2 / (\tau_2 + \epsilon)}, \qquad
    P = u K v.

Each backend tells which problems it accepts, and solves those: the first that
does is taken.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..numbers import Numbers
from ..plan import TransportPlan
from ..precision import full_precision
from ..problem import MatchingProblem
from . import absorbed, compiled, float64, sparse, triton

__all__ = ['BACKENDS', 'sinkhorn', 'solve_scaling']

# In the order in which they are asked; the last one accepts any problem.
BACKENDS = (sparse, compiled, triton, float64, absorbed)


def sinkhorn(
    problem: MatchingProblem,
    *,
    epsilon: float | Tensor,
    tau1: float = math.inf,
    tau2: float = math.inf,
    num_iters: int = 20,
    relaxation: float = 1.0,
    tol: float = 0.0,
    overwrite_cost: bool = False,
) -> TransportPlan:
    r"""Solves regularised (unbalanced) optimal transport for a whole batch.

    Who solves it depends on where it is, not what comes out: on a CPU the
    compiled library, if there is one, on the pairs that can carry mass
    (:mod:`.sparse`) or, where those are many, on the matrix
    (:mod:`.compiled`); on a GPU one launch or two (:mod:`.triton`), without
    Triton float64 (:mod:`.float64`); what remains any torch device can do
    (:mod:`.absorbed`).

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1) and masses.
        epsilon (float | Tensor): Entropic regularisation :math:`\epsilon >
            0`, in units of the cost; one number, or (B,) one per image. At
            least 1e-15 of the greatest cost is taken.
        tau1 (float): Weight :math:`\tau_1 \geq 0` of the predictions' mass
            constraint; ``math.inf`` makes it hard. Defaults to inf.
        tau2 (float): Weight :math:`\tau_2 \geq 0` of the ground truths' mass
            constraint; ``math.inf`` makes it hard. Defaults to inf.
        num_iters (int): Number of iterations, at least 1. The limit is
            reached at the first for tau1 = 0, at the second for tau2 = 0.
            Defaults to 20.
        relaxation (float): See :class:`Numbers`. Defaults to 1.
        tol (float): See :class:`Numbers`. Defaults to 0.
        overwrite_cost (bool): Whether the plan may take the memory of
            ``problem.cost``, where that is faster. Defaults to False.

    Returns:
        TransportPlan: Weights (B, N, M + 1) in the dtype of the cost, with
        potentials and marginal error; of pairs, from :mod:`.sparse`.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    numbers = Numbers(epsilon, tau1, tau2, num_iters, relaxation, tol)
    return solve_scaling(problem, numbers, overwrite_cost)


def solve_scaling(
    problem: MatchingProblem, numbers: Numbers, overwrite_cost: bool = False
) -> TransportPlan:
    """What :func:`sinkhorn` does, with the numbers in one object."""
    if problem.cost.numel() == 0:
        return _empty_plan(problem)
    numbers = numbers.fit(problem)
    with full_precision(problem.cost.device):
        for backend in BACKENDS:
            if backend.accepts(problem, numbers):
                plan: TransportPlan | None = backend.solve(
                    problem, numbers, overwrite_cost
                )
                if plan is not None:
                    return plan
    raise AssertionError('the last backend solves any problem')


def _empty_plan(problem: MatchingProblem) -> TransportPlan:
    return TransportPlan(
        weights=torch.zeros_like(problem.cost),
        pred_mass=problem.pred_mass,
        gt_mass=problem.gt_mass,
        pred_potential=torch.zeros_like(problem.pred_mass).double(),
        gt_potential=torch.zeros_like(problem.gt_mass).double(),
        marginal_error=problem.cost.new_zeros(len(problem.cost)).double(),
        gt_range=problem.gt_range,
    )
