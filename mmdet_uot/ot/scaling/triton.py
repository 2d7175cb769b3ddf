"""The scaling algorithm in one or two launches on a GPU, by Triton."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..._torch_versions import is_compiling, triton_is_current
from ..numbers import Numbers
from ..plan import TransportPlan
from ..problem import MatchingProblem
from . import float64
from .scalings import exponent_dtype

__all__ = ['accepts', 'solve']

# One program solves one image, on one of a GPU's many multiprocessors. With
# more entries than this per image, rows without a near pair are left out: they
# are found in a launch of its own.
_MOST_ENTRIES = 2**17

# Entries worked on at a time, by dtype of their exponents, and those of a warp
# of 32 threads: eight per thread, so that all stay in registers.
_TILE = {torch.float32: 4096, torch.float64: 2048}
_WARP_ENTRIES = 256

# Of something that was asked of the device before.
_DEVICE_ERROR = getattr(torch, 'AcceleratorError', torch.cuda.OutOfMemoryError)

# Why the kernels are not tried again.
_failures: list[Exception] = []


class Kernels(NamedTuple):
    """See :mod:`._triton_kernel`."""

    find_rows: Any
    solve_images: Any


def accepts(problem: MatchingProblem, numbers: Numbers) -> bool:
    """Tells whether the kernels can solve a problem.

    So it is for float32 costs on a GPU with Triton, outside of a trace, and
    up to 2,047 ground truths. Not for ranges of masses.
    """
    if _failures or not numbers.is_plain or problem.gt_range is not None:
        return False
    return _fits(problem.cost) and _kernels() is not None


def solve(
    problem: MatchingProblem, numbers: Numbers, overwrite_cost: bool = False
) -> TransportPlan | None:
    """Solves in one launch, or in two if images have more than 2**17 entries.

    Entries are counted with the columns as the next power of two: 900
    predictions and 127 ground truths take one launch. A kernel that cannot be
    compiled or launched, or that gives something else than torch for a small
    problem, warns once and is not tried again.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1), not empty.
        numbers (Numbers): See :class:`Numbers`.
        overwrite_cost (bool): Whether the plan may take the memory of the
            cost; it does in two launches.

    Returns:
        TransportPlan | None: None if another backend is to do it.
    """
    kernels = _kernels()
    assert kernels is not None
    try:
        if not torch.cuda.is_current_stream_capturing():
            _check(kernels, problem.cost.device)
        return _launch(
            kernels, problem, numbers, _is_large(problem), overwrite_cost
        )
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
    return not traced and _power_of_two(cost.shape[2]) <= min(_TILE.values())


@functools.lru_cache(maxsize=None)
def _kernels() -> Kernels | None:
    """The compiled functions, or None without Triton 3."""
    if not triton_is_current():
        return None
    from ._triton_kernel import find_rows, solve_images

    return Kernels(find_rows, solve_images)


def _is_large(problem: MatchingProblem) -> bool:
    _, N, columns = problem.cost.shape
    return N * _power_of_two(columns) > _MOST_ENTRIES


@functools.lru_cache(maxsize=None)
def _check(kernels: Kernels, device: torch.device) -> None:
    """Waits for a small problem, once per device.

    Raises:
        RuntimeError: If the kernels give something else than torch.
    """
    with _waiting():
        generator = torch.Generator().manual_seed(0)
        cost = torch.rand((2, 90, 6), generator=generator).to(device)
        problem = MatchingProblem.from_masks(
            cost, cost[:, 0, :-1] < 2, cost[..., 0] < 2, max_cost=1.0
        )
        numbers = Numbers(0.02, tau1=1.0, tau2=0.1, num_iters=5)
        expected = float64.solve(problem, numbers).weights
        for is_sparse in (False, True):
            plan = _launch(kernels, problem, numbers, is_sparse)
            error = float((plan.weights - expected).abs().max())
            if not error < 1e-4:
                raise RuntimeError(
                    f'its weights are {error:.2g} off for a small problem'
                )


@contextmanager
def _waiting() -> Iterator[None]:
    """Lets the host wait for the device, whatever the debug mode says."""
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode(0)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(mode)


def _launch(
    kernels: Kernels,
    problem: MatchingProblem,
    given: Numbers,
    is_sparse: bool,
    overwrite_cost: bool = False,
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

    pred_potential = torch.empty_like(pred_mass, dtype=torch.float64)
    gt_potential = torch.empty_like(gt_mass, dtype=torch.float64)
    marginal_error = torch.empty_like(numbers[0])
    dtype = exponent_dtype(problem, epsilon)
    padded_columns = _power_of_two(columns)
    rows = min(_TILE[dtype] // padded_columns, _power_of_two(N))
    sizes = dict(
        WIDE=dtype == torch.float64,
        ROWS=rows,
        COLUMNS=padded_columns,
        num_warps=max(rows * padded_columns // _WARP_ENTRIES, 1),
    )
    given_masses = cost, pred_mass, gt_mass, numbers
    found: Sequence[Tensor | None] = (None,) * 4
    if is_sparse:
        found = (
            torch.empty_like(pred_mass, dtype=torch.int32),
            torch.empty_like(numbers[0], dtype=torch.int32),
            torch.empty_like(gt_potential),
            torch.empty_like(numbers[0]),
        )
    in_place = is_sparse and overwrite_cost
    weights = cost if in_place else torch.empty_like(cost)
    with torch.cuda.device_of(cost):  # type: ignore[no-untyped-call]
        if is_sparse:
            kernels.find_rows[(B,)](
                *given_masses, *found, N, columns, *cost.stride(), **sizes
            )
        kernels.solve_images[(B,)](
            *given_masses,
            *found,
            weights,
            pred_potential,
            gt_potential,
            marginal_error,
            N,
            columns,
            given.num_iters,
            *cost.stride(),
            *weights.stride(),
            SPARSE=is_sparse,
            **sizes,
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
