"""The scaling algorithm on the CPU, by the compiled library."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ...native import can_read, run
from ..numbers import Numbers
from ..plan import TransportPlan
from ..problem import MatchingProblem

__all__ = ['accepts', 'solve']


class _Arguments(ctypes.Structure):
    """``scaling_problem`` of ``scaling.c``."""

    _fields_ = (
        ('cost', ctypes.c_void_p),
        ('cost_image_stride', ctypes.c_int64),
        ('cost_column_stride', ctypes.c_int64),
        ('pred_mass', ctypes.c_void_p),
        ('gt_mass', ctypes.c_void_p),
        ('gt_range', ctypes.c_void_p),
        ('epsilon', ctypes.c_void_p),
        ('tau1', ctypes.c_double),
        ('tau2', ctypes.c_double),
        ('relaxation', ctypes.c_double),
        ('tol', ctypes.c_double),
        ('num_iters', ctypes.c_int64),
        ('num_images', ctypes.c_int64),
        ('num_preds', ctypes.c_int64),
        ('num_columns', ctypes.c_int64),
        ('weights', ctypes.c_void_p),
        ('pred_potential', ctypes.c_void_p),
        ('gt_potential', ctypes.c_void_p),
        ('marginal_error', ctypes.c_void_p),
    )


def accepts(problem: MatchingProblem, numbers: Numbers) -> bool:
    """Tells whether the library was compiled and can read the problem."""
    tensors = [problem.cost, problem.pred_mass, problem.gt_mass]
    if isinstance(numbers.epsilon, Tensor):
        tensors.append(numbers.epsilon)
    return problem.cost.dtype == torch.float32 and can_read(*tensors)


def solve(
    problem: MatchingProblem, numbers: Numbers, overwrite_cost: bool = False
) -> TransportPlan:
    """Solves float32 problems on the CPU.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1), not empty.
        numbers (Numbers): See :class:`Numbers`.
        overwrite_cost (bool): Whether the plan may take the memory of the
            cost. Defaults to False.

    Returns:
        TransportPlan: With potentials and marginal error.
    """
    cost = problem.cost.mT
    epsilons = torch.as_tensor(numbers.epsilon, dtype=torch.float64)
    if cost.stride(2) != 1:
        cost = cost.contiguous()
    B, columns, N = cost.shape
    pred_mass = problem.pred_mass.contiguous()
    gt_mass = problem.gt_mass.contiguous()
    gt_range = problem.gt_range
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
        gt_range=gt_range,
    )
    results = (plan.pred_potential, plan.gt_potential, plan.marginal_error)
    run(
        'solve_scaling',
        _Arguments(
            cost.data_ptr(),
            *cost.stride()[:2],
            pred_mass.data_ptr(),
            gt_mass.data_ptr(),
            None if gt_range is None else gt_range.data_ptr(),
            epsilons.data_ptr(),
            numbers.tau1,
            numbers.tau2,
            numbers.relaxation,
            numbers.tol,
            numbers.num_iters,
            B,
            N,
            columns,
            weights.data_ptr(),
            *(result.data_ptr() for result in results if result is not None),
        ),
    )
    return plan
