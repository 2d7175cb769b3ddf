"""The scaling algorithm on the CPU, by the compiled library."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ...native import can_read, run
from ..plan import TransportPlan
from ..problem import MatchingProblem

__all__ = ['try_native']


class _Arguments(ctypes.Structure):
    """``scaling_problem`` of ``scaling.c``."""

    _fields_ = (
        ('cost', ctypes.c_void_p),
        ('cost_image_stride', ctypes.c_int64),
        ('cost_column_stride', ctypes.c_int64),
        ('pred_mass', ctypes.c_void_p),
        ('gt_mass', ctypes.c_void_p),
        ('epsilon', ctypes.c_void_p),
        ('tau1', ctypes.c_double),
        ('tau2', ctypes.c_double),
        ('num_iters', ctypes.c_int64),
        ('num_images', ctypes.c_int64),
        ('num_preds', ctypes.c_int64),
        ('num_columns', ctypes.c_int64),
        ('weights', ctypes.c_void_p),
        ('pred_potential', ctypes.c_void_p),
        ('gt_potential', ctypes.c_void_p),
        ('marginal_error', ctypes.c_void_p),
    )


def try_native(
    problem: MatchingProblem,
    epsilon: float | Tensor,
    tau1: float,
    tau2: float,
    num_iters: int,
    overwrite_cost: bool = False,
) -> TransportPlan | None:
    """Solves float32 problems on the CPU, if the library was compiled.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1), not empty.
        epsilon (float | Tensor): One number, or (B,).
        tau1 (float): Weight of the predictions' mass constraint.
        tau2 (float): Weight of the ground truths' mass constraint.
        num_iters (int): Number of iterations.
        overwrite_cost (bool): Whether the plan may take the memory of the
            cost. Defaults to False.

    Returns:
        TransportPlan | None: None if another solver is to do it.
    """
    cost = problem.cost.mT
    masses = (problem.pred_mass, problem.gt_mass)
    epsilons = torch.as_tensor(epsilon, dtype=torch.float64)
    readable = can_read(cost, *masses, epsilons)
    if cost.dtype != torch.float32 or not readable:
        return None
    if cost.stride(2) != 1:
        cost = cost.contiguous()
    B, columns, N = cost.shape
    pred_mass, gt_mass = (mass.contiguous() for mass in masses)
    epsilons = epsilons.expand(B).contiguous()
    in_place = overwrite_cost and cost.is_contiguous()
    weights = cost if in_place else cost.new_empty((B, columns, N))
    plan = TransportPlan(
        weights=weights.mT,
        pred_mass=problem.pred_mass,
        gt_mass=problem.gt_mass,
        pred_potential=epsilons.new_empty((B, N)),
        gt_potential=epsilons.new_empty((B, columns)),
        marginal_error=epsilons.new_empty(B),
    )
    results = (plan.pred_potential, plan.gt_potential, plan.marginal_error)
    run(
        'solve_scaling',
        _Arguments(
            cost.data_ptr(),
            *cost.stride()[:2],
            pred_mass.data_ptr(),
            gt_mass.data_ptr(),
            epsilons.data_ptr(),
            tau1,
            tau2,
            num_iters,
            B,
            N,
            columns,
            weights.data_ptr(),
            *(result.data_ptr() for result in results if result is not None),
        ),
    )
    return plan
