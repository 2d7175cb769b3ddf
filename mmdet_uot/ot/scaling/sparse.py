"""The scaling algorithm on pairs that can carry mass, on the CPU."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ...native import BlockedBoxes, can_read, find_pairs
from ...native.box_blocks import Arguments
from ..numbers import Numbers
from ..plan import WeightedPairs
from ..problem import MatchingProblem
from ..sparse_plan import SparsePlan
from . import compiled

__all__ = ['accepts', 'solve', 'solve_overlaps']

# A pair of less weight is no pair.
_LEAST_MASS = 1e-10

# With a greater share of pairs a matrix is faster; of boxes it has to be made.
_MOST_PAIRS = 0.1
_MOST_PAIRS_OF_BOXES = 0.25


class _Problem(ctypes.Structure):
    """``sparse_problem`` of ``sparse_scaling.c``."""

    _fields_ = (
        ('background_cost', ctypes.c_void_p),
        ('background_image_stride', ctypes.c_int64),
        ('cost', ctypes.c_void_p),
        ('cost_image_stride', ctypes.c_int64),
        ('cost_column_stride', ctypes.c_int64),
        ('boxes', Arguments),
        ('gt_boxes', ctypes.c_void_p),
        ('allowed', ctypes.c_void_p),
        ('num_candidates', ctypes.c_void_p),
        ('pred_mass', ctypes.c_void_p),
        ('gt_mass', ctypes.c_void_p),
        ('gt_range', ctypes.c_void_p),
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
    return _solve(
        problem.pred_mass,
        problem.gt_mass,
        problem.gt_range,
        numbers,
        background_cost=cost[:, -1].data_ptr(),
        background_image_stride=cost.stride(0),
        most_pairs=_MOST_PAIRS,
        cost=cost.data_ptr(),
        cost_image_stride=cost.stride(0),
        cost_column_stride=cost.stride(1),
    )


def solve_overlaps(
    boxes: BlockedBoxes,
    gt_boxes: Tensor,
    background_cost: Tensor,
    pred_mass: Tensor,
    gt_mass: Tensor,
    gt_range: Tensor | None,
    numbers: Numbers,
    allowed: Tensor | None = None,
    num_candidates: Tensor | None = None,
) -> SparsePlan | None:
    """Solves the problem of the costs 1 - IoU without making them.

    Time and memory grow with the boxes that overlap, if neighbours in memory
    are neighbours in the image, as anchors are.

    Args:
        boxes (BlockedBoxes): Those of the predictions.
        gt_boxes (Tensor): (B, M, 4) float32, xyxy.
        background_cost (Tensor): (B, N) float32; may repeat one image.
        pred_mass (Tensor): (B, N) float32.
        gt_mass (Tensor): (B, M + 1) float32.
        gt_range (Tensor, optional): (2, B, M + 1) float32.
        numbers (Numbers): See :class:`Numbers`.
        allowed (Tensor, optional): (B, M, words) int64, which pairs may take
            mass: bit i of word k is prediction 64 k + i. Defaults to None,
            all.
        num_candidates (Tensor, optional): (B, M) int64, how many predictions
            with mass are allowed; given with ``allowed``.

    Returns:
        SparsePlan | None: None if it is to be solved with costs, as in
        :func:`solve`; also without the library.
    """
    tensors = gt_boxes, background_cost, pred_mass, gt_mass
    if (
        0 in pred_mass.shape
        or any(tensor.dtype != torch.float32 for tensor in tensors)
        or not can_read(*tensors)
        or background_cost.stride(1) != 1
    ):
        return None
    gt_boxes = gt_boxes.contiguous()
    return _solve(
        pred_mass,
        gt_mass,
        gt_range,
        numbers,
        background_cost=background_cost.data_ptr(),
        background_image_stride=background_cost.stride(0),
        most_pairs=_MOST_PAIRS_OF_BOXES,
        boxes=boxes.arguments,
        gt_boxes=gt_boxes.data_ptr(),
        allowed=None if allowed is None else allowed.data_ptr(),
        num_candidates=(
            None if num_candidates is None else num_candidates.data_ptr()
        ),
    )


def _solve(
    pred_mass: Tensor,
    gt_mass: Tensor,
    gt_range: Tensor | None,
    numbers: Numbers,
    most_pairs: float,
    **costs: int | Arguments | None,
) -> SparsePlan | None:
    (B, N), columns = pred_mass.shape, gt_mass.shape[1]
    asked = pred_mass.contiguous(), gt_mass.contiguous()
    epsilon = torch.as_tensor(numbers.epsilon, dtype=torch.float64)
    epsilon = epsilon.expand(B).contiguous()
    background = torch.empty_like(asked[0])
    pred_potential = epsilon.new_empty((B, N))
    gt_potential = epsilon.new_empty((B, columns))
    marginal_error = epsilon.new_empty(B)
    arguments = _Problem(
        pred_mass=asked[0].data_ptr(),
        gt_mass=asked[1].data_ptr(),
        gt_range=None if gt_range is None else gt_range.data_ptr(),
        epsilon=epsilon.data_ptr(),
        tau1=numbers.tau1,
        tau2=numbers.tau2,
        relaxation=numbers.relaxation,
        tol=numbers.tol,
        least_mass=_LEAST_MASS,
        most_pairs=most_pairs,
        num_iters=numbers.num_iters,
        num_images=B,
        num_preds=N,
        num_columns=columns,
        background=background.data_ptr(),
        pred_potential=pred_potential.data_ptr(),
        gt_potential=gt_potential.data_ptr(),
        marginal_error=marginal_error.data_ptr(),
        **costs,
    )
    pairs = find_pairs('solve_sparse', arguments, B)
    if arguments.unsuited:
        return None
    return SparsePlan(
        WeightedPairs(*pairs),
        background,
        pred_mass,
        gt_mass,
        pred_potential,
        gt_potential,
        marginal_error,
        gt_range,
    )
