"""The scaling algorithm on pairs that can carry mass, on the CPU."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ...native import run
from ..numbers import Numbers
from ..plan import WeightedPairs
from ..problem import MatchingProblem
from ..sparse_plan import SparsePlan
from . import compiled

__all__ = ['accepts', 'solve']

# A pair of less weight is no pair.
_LEAST_MASS = 1e-10

# With a greater share of pairs a matrix is faster.
_MOST_PAIRS = 0.25


class _Problem(ctypes.Structure):
    """``sparse_problem`` of ``sparse_scaling.c``."""

    _fields_ = (
        ('cost', ctypes.c_void_p),
        ('cost_image_stride', ctypes.c_int64),
        ('cost_column_stride', ctypes.c_int64),
        ('pred_mass', ctypes.c_void_p),
        ('gt_mass', ctypes.c_void_p),
        ('epsilon', ctypes.c_void_p),
        ('tau1', ctypes.c_double),
        ('tau2', ctypes.c_double),
        ('relaxation', ctypes.c_double),
        ('tol', ctypes.c_double),
        ('least_mass', ctypes.c_double),
        ('most_pairs', ctypes.c_double),
        ('num_iters', ctypes.c_int64),
        ('num_images', ctypes.c_int64),
        ('num_preds', ctypes.c_int64),
        ('num_columns', ctypes.c_int64),
        ('background', ctypes.c_void_p),
        ('pred_potential', ctypes.c_void_p),
        ('gt_potential', ctypes.c_void_p),
        ('marginal_error', ctypes.c_void_p),
        ('num_pairs', ctypes.c_void_p),
        ('unsuited', ctypes.c_int32),
        ('found', ctypes.c_void_p),
    )


class _Collection(ctypes.Structure):
    """``collection`` of ``sparse_scaling.c``."""

    _fields_ = (
        ('num_images', ctypes.c_int64),
        ('num_pairs', ctypes.c_void_p),
        ('found', ctypes.c_void_p),
        ('image', ctypes.c_void_p),
        ('prediction', ctypes.c_void_p),
        ('ground_truth', ctypes.c_void_p),
        ('mass', ctypes.c_void_p),
    )


def accepts(problem: MatchingProblem, numbers: Numbers) -> bool:
    """Tells whether the library was compiled and can read the problem."""
    return compiled.accepts(problem, numbers) and problem.cost.stride(1) == 1


def solve(
    problem: MatchingProblem, numbers: Numbers, overwrite_cost: bool = False
) -> SparsePlan | None:
    """Solves float32 problems on the CPU whose pairs are few.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1), not empty.
        numbers (Numbers): See :class:`Numbers`.
        overwrite_cost (bool): Not used.

    Returns:
        SparsePlan | None: None if another backend is to do it: where an
        image has many pairs, numbers beyond what doubles carry, or no
        background.
    """
    cost = problem.cost.mT
    epsilons = torch.as_tensor(numbers.epsilon, dtype=torch.float64)
    B, columns, N = cost.shape
    pred_mass = problem.pred_mass.contiguous()
    gt_mass = problem.gt_mass.contiguous()
    epsilons = epsilons.expand(B).contiguous()
    background = torch.empty_like(pred_mass)
    pred_potential = epsilons.new_empty((B, N))
    gt_potential = epsilons.new_empty((B, columns))
    marginal_error = epsilons.new_empty(B)
    num_pairs, found = torch.empty((2, B), dtype=torch.int64)
    results = (background, pred_potential, gt_potential, marginal_error)
    arguments = _Problem(
        cost.data_ptr(),
        *cost.stride()[:2],
        pred_mass.data_ptr(),
        gt_mass.data_ptr(),
        epsilons.data_ptr(),
        numbers.tau1,
        numbers.tau2,
        1.0,
        0.0,
        _LEAST_MASS,
        _MOST_PAIRS,
        numbers.num_iters,
        B,
        N,
        columns,
        *(result.data_ptr() for result in results),
        num_pairs.data_ptr(),
        False,
        found.data_ptr(),
    )
    try:
        run('solve_sparse', arguments)
    finally:
        pairs = _collect(num_pairs, found)
    if arguments.unsuited:
        return None
    return SparsePlan(
        pairs,
        background,
        problem.pred_mass,
        problem.gt_mass,
        pred_potential,
        gt_potential,
        marginal_error,
    )


def _collect(num_pairs: Tensor, found: Tensor) -> WeightedPairs:
    K = int(num_pairs.sum())
    image, prediction, ground_truth = torch.empty((3, K), dtype=torch.int64)
    pairs = WeightedPairs(image, prediction, ground_truth, torch.empty(K))
    run(
        'collect_pairs',
        _Collection(
            len(found),
            num_pairs.data_ptr(),
            found.data_ptr(),
            *(values.data_ptr() for values in pairs),
        ),
    )
    return pairs
