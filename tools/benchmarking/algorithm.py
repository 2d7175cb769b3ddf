"""The scaling algorithm as the paper prints it (Alg. 1 and 2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmdet_uot.ot import sinkhorn

from .task import Task

__all__ = ['RELAXATION', 'accuracy', 'scaling_algorithm', 'unconverged']

# Of the relaxed iterations beside the plain ones.
RELAXATION = 1.8
_MANY = 4000


def scaling_algorithm(
    task: Task, dtype: torch.dtype = torch.float32
) -> Tensor:
    r"""Algorithm 2, and with both tau infinite Algorithm 1, line by line.

    .. math::
        u \leftarrow (\alpha / K v)^{\tau_1 / (\tau_1 + \epsilon)}, \qquad
        v \leftarrow (\beta / K^\top u)^{\tau_2 / (\tau_2 + \epsilon)}

    on the kernel :math:`K = \exp(-C / \epsilon)` itself, so in float32 only
    as far as its range goes. Padded ground truths start, and stay, at v = 0.

    Args:
        task (Task): Costs (B, N, M + 1) and numbers.
        dtype (torch.dtype): Precision. Defaults to float32.

    Returns:
        Tensor: (B, N, M + 1) weights N P.
    """
    problem, epsilon = task.problem, task.epsilon
    alpha = problem.pred_mass.to(dtype).unsqueeze(2)
    beta = problem.gt_mass.to(dtype).unsqueeze(2)
    power1, power2 = (
        1.0 if math.isinf(tau) else tau / (tau + epsilon)
        for tau in (task.tau1, task.tau2)
    )
    K = torch.exp(-problem.cost.to(dtype) / epsilon)  # line 2
    live = (beta > 0).to(dtype)
    v = live / live.sum(1, keepdim=True)  # line 4; line 3 is overwritten
    for _ in range(task.num_iters):
        u = (alpha / (K @ v)) ** power1  # line 6
        v = (beta / (K.mT @ u)) ** power2 * live  # line 7
    return u * K * v.mT * problem.cost.shape[1]  # line 9, times N


def accuracy(task: Task) -> dict[str, float]:
    """Distance from Algorithm 2 in float64 at equal iterations.

    Args:
        task (Task): Costs (B, N, M + 1) and numbers.

    Returns:
        dict[str, float]: The greatest difference of two weights N P over all
        rows, of our solver (``'ours'``) and of the algorithm itself in
        float32 (``'as_printed'``), NaN where it leaves the range.
    """
    exact = scaling_algorithm(task, torch.float64)
    plans = dict(
        ours=sinkhorn(task.problem, **task.numbers).weights,
        as_printed=scaling_algorithm(task),
    )
    return {
        name: (plan - exact).abs().max().item() for name, plan in plans.items()
    }


def unconverged(task: Task) -> dict[float, dict[str, float]]:
    """How much mass still sits elsewhere than in the converged plan.

    Args:
        task (Task): Costs (B, N, M + 1) and numbers.

    Returns:
        dict[float, dict[str, float]]: Relaxation of the iterations (1, plain,
        and ``RELAXATION``) -> the ``mean`` and the ``worst`` of the images,
        as a share of their foreground mass.
    """
    numbers = dict(task.numbers, relaxation=RELAXATION, num_iters=_MANY)
    target = sinkhorn(task.problem, **numbers)
    mass = target.foreground_mass.clamp(min=1e-6)
    shares = {}
    for relaxation in (1.0, RELAXATION):
        plan = sinkhorn(task.problem, **task.numbers, relaxation=relaxation)
        moved = (plan.foreground - target.foreground).abs().sum((1, 2)) / 2
        share = moved / mass
        shares[relaxation] = dict(
            mean=share.mean().item(), worst=share.max().item()
        )
    return shares
