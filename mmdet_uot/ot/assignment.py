"""One-to-one assignment on the CPU, by lapx or, without it, by SciPy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Callable, Tuple, cast

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

__all__ = ['assign_one_to_one']

# With fewer prices starting threads takes longer than they save.
_WORTH_THREADS = 2**21
_ALL = slice(None)

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]
else:  # Python 3.8 cannot index it.
    Array = np.ndarray
Solver = Callable[[Array], Tuple[Array, Array]]


def assign_one_to_one(
    price: Tensor, pred_live: Tensor, gt_live: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The one-to-one matching of the least total price, for each image.

    Args:
        price (Tensor): (B, N, M) finite price of each pair. Read where it is
            if it lies column by column in memory and padding comes last.
        pred_live (Tensor): (B, N) bool, False for padding.
        gt_live (Tensor): (B, M) bool, False for padding.

    Returns:
        tuple[Tensor, Tensor, Tensor]: (K,) int64 image, prediction and ground
        truth of the pairs, sorted by image, then ground truth. All ground
        truths are matched, or as many as there are predictions.
    """
    # Transposed, as costs are in memory and as solvers take tall ones.
    columns = price.detach().mT.cpu().numpy()
    preds, gts = _live_entries(pred_live), _live_entries(gt_live)
    problems = [
        _part(matrix, gt, pred)
        for matrix, gt, pred in zip(columns, gts, preds)
    ]
    threads = min(torch.get_num_threads(), len(problems))
    if threads > 1 and columns.size > _WORTH_THREADS:
        with ThreadPoolExecutor(threads) as pool:
            solved = list(pool.map(_solver(), problems))
    else:
        solved = list(map(_solver(), problems))
    counts = [len(column) for column, _ in solved]
    pairs = np.empty((3, sum(counts)), dtype=np.int64)
    pairs[0] = np.repeat(np.arange(len(counts)), counts)
    if pairs.size:
        _join([row for _, row in solved], preds, out=pairs[1])
        _join([column for column, _ in solved], gts, out=pairs[2])
    image, prediction, ground_truth = torch.from_numpy(pairs).to(price.device)
    return image, prediction, ground_truth


@lru_cache(maxsize=None)
def _solver() -> Solver:
    """Takes (m, n) prices, returns the pairs, sorted by row."""
    if find_spec('lap') is not None:
        try:
            from lap import lapjvr

            options = dict(extend_cost=True, return_cost=False)
            return cast(Solver, partial(lapjvr, **options))
        except ImportError:  # another package of this name, or a lapx before
            pass
    return cast(Solver, linear_sum_assignment)


def _live_entries(live: Tensor) -> list[slice | Array]:
    """Per image a slice if padding comes last, else the indices."""
    flags = live.cpu().numpy()
    if flags.all():
        return [_ALL] * len(flags)
    counts = flags.sum(1)
    last = flags == (np.arange(flags.shape[1]) < counts[:, None])
    if last.all():
        return [slice(count) for count in counts.tolist()]
    return [row.nonzero()[0] for row in flags]


def _part(matrix: Array, rows: slice | Array, columns: slice | Array) -> Array:
    part = matrix[rows]
    return part if columns is _ALL else part[:, columns]


def _join(found: list[Array], live: list[slice | Array], out: Array) -> None:
    """Joins indices among the live entries, as indices among all."""
    np.concatenate(
        [
            own if isinstance(entries, slice) else entries[own]
            for entries, own in zip(live, found)
        ],
        out=out,
    )
