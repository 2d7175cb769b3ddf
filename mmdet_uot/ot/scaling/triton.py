"""The scaling algorithm in one launch on a GPU, by Triton, where it fits."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import torch
from torch import Tensor

from ..._torch_versions import is_compiling, triton_is_current
from ..numbers import Numbers
from ..plan import TransportPlan
from ..problem import MatchingProblem
from .scalings import exponent_dtype

__all__ = ['accepts', 'solve']

# One program solves one image, on one of a GPU's many multiprocessors. With
# more entries than this per image a solver that uses all of them should be
# ahead: an estimate from launches and exponentials, not a measurement.
_MOST_ENTRIES = 2**17

# Entries worked on at a time, by dtype of their exponents, and those of a warp
# of 32 threads: eight per thread, so that all stay in registers.
_TILE = {torch.float32: 4096, torch.float64: 2048}
_WARP_ENTRIES = 256

# Of something that was asked of the device before.
_DEVICE_ERROR = getattr(torch, 'AcceleratorError', torch.cuda.OutOfMemoryError)

# Why the kernel is not tried again.
_failures: list[Exception] = []


def accepts(problem: MatchingProblem, numbers: Numbers) -> bool:
    """Tells whether one launch can and should solve a problem.

    So it is for float32 costs on a GPU with Triton, outside of a trace, and
    up to 2**17 entries per image, where the columns are counted as the next
    power of two: 900 predictions and 127 ground truths. Not for ranges of
    masses.
    """
    if _failures or not numbers.is_plain or problem.gt_range is not None:
        return False
    return _fits(problem.cost) and _kernel() is not None


def solve(
    problem: MatchingProblem, numbers: Numbers, overwrite_cost: bool = False
) -> TransportPlan | None:
    """Solves in one launch.

    A kernel that cannot be compiled or launched warns once and is not tried
    again.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1), not empty.
        numbers (Numbers): See :class:`Numbers`.
        overwrite_cost (bool): Not used.

    Returns:
        TransportPlan | None: None if another backend is to do it.
    """
    try:
        return _launch(_kernel(), problem, numbers)
    except (torch.cuda.OutOfMemoryError, _DEVICE_ERROR):
        raise
    except Exception as error:
        # No C compiler, an old GPU, a strange Triton: there is another way.
        _failures.append(error)
        warnings.warn(
            f'the fused solver cannot run here ({error!r}); the eager one is '
            'used, with the same results in more time',
            stacklevel=3,
        )
        return None


def _fits(cost: Tensor) -> bool:
    if cost.device.type != 'cuda' or cost.dtype != torch.float32:
        return False
    traced = is_compiling() or type(cost) is not Tensor
    return not traced and _is_small(*cost.shape[1:])


def _is_small(num_preds: int, columns: int) -> bool:
    columns = _power_of_two(columns)
    fits_tile = columns <= min(_TILE.values())
    return fits_tile and num_preds * columns <= _MOST_ENTRIES


@functools.lru_cache(maxsize=None)
def _kernel() -> Any:
    """The compiled function, or None without Triton 3."""
    if not triton_is_current():
        return None
    from ._triton_kernel import solve_images

    return solve_images


def _launch(
    kernel: Any, problem: MatchingProblem, given: Numbers
) -> TransportPlan:
    epsilon = given.epsilon
    cost = problem.cost
    B, N, columns = cost.shape
    pred_mass = problem.pred_mass.contiguous()
    gt_mass = problem.gt_mass.contiguous()
    numbers = cost.new_empty((3, B), dtype=torch.float64)
    if isinstance(epsilon, Tensor):
        epsilon = epsilon.to(numbers)
    numbers[0] = epsilon
    # 1 - lambda: 0 for a hard constraint, 1 for none, both exactly.
    numbers[1] = epsilon / (given.tau1 + epsilon)
    numbers[2] = epsilon / (given.tau2 + epsilon)

    weights = torch.empty_like(cost)
    pred_potential = torch.empty_like(pred_mass, dtype=torch.float64)
    gt_potential = torch.empty_like(gt_mass, dtype=torch.float64)
    marginal_error = torch.empty_like(numbers[0])
    dtype = exponent_dtype(problem, epsilon)
    padded_columns = _power_of_two(columns)
    rows = min(_TILE[dtype] // padded_columns, _power_of_two(N))
    with torch.cuda.device_of(cost):  # type: ignore[no-untyped-call]
        kernel[(B,)](
            cost,
            pred_mass,
            gt_mass,
            numbers,
            weights,
            pred_potential,
            gt_potential,
            marginal_error,
            N,
            columns,
            given.num_iters,
            *cost.stride(),
            *weights.stride(),
            WIDE=dtype == torch.float64,
            ROWS=rows,
            COLUMNS=padded_columns,
            num_warps=max(rows * padded_columns // _WARP_ENTRIES, 1),
        )
    return TransportPlan(
        weights=weights,
        pred_mass=problem.pred_mass,
        gt_mass=problem.gt_mass,
        pred_potential=pred_potential,
        gt_potential=gt_potential,
        marginal_error=marginal_error,
    )


def _power_of_two(size: int) -> int:
    """The next power of two, at least 16."""
    return max(1 << (size - 1).bit_length(), 16)
