"""One-to-one assignment on the CPU, by lapx or, without it, by SciPy."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Callable, cast

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

__all__ = ['assign_one_to_one']

# With fewer prices threads hardly save time: those of torch, which wait for
# its next operation, keep the cores busy for some milliseconds.
_WORTH_THREADS = 2**25
_NO_PAIRS = np.empty((0, 2), dtype=np.int64)

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]
else:  # Python 3.8 cannot index it.
    Array = np.ndarray
Solver = Callable[[Array], Array]


def assign_one_to_one(
    price: Tensor, pred_live: Tensor, gt_live: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The one-to-one matching of the least total price, for each image.

    Args:
        price (Tensor): (B, N, M) finite price of each pair. Read where it is
            if it lies column by column in memory and padding comes last.
        pred_live (Tensor): (B, N), True or positive, zero for padding.
        gt_live (Tensor): (B, M), True or positive, zero for padding.

    Returns:
        tuple[Tensor, Tensor, Tensor]: (K,) int64 image, prediction and ground
        truth of the pairs, sorted by image, then ground truth. All ground
        truths are matched, or as many as there are predictions.
    """
    # Transposed, as costs are in memory and as solvers take tall ones.
    columns = price.detach().mT.cpu().numpy()
    gts, preds = _Live(gt_live), _Live(pred_live)
    problems = gts.rows_of(columns)
    if not preds.is_all:
        tall = preds.rows_of(problem.T for problem in problems)
        problems = [problem.T for problem in tall]
    solved = _solve(problems)
    counts = [len(found) for found in solved]
    found = np.concatenate([_NO_PAIRS, *solved])
    pairs = np.empty((3, len(found)), dtype=np.int64)
    pairs[0] = np.repeat(np.arange(len(counts)), counts)
    pairs[1] = preds.among_all(pairs[0], found[:, 1])
    pairs[2] = gts.among_all(pairs[0], found[:, 0])
    image, prediction, ground_truth = torch.from_numpy(pairs).to(price.device)
    return image, prediction, ground_truth


class _Live:
    """The live predictions, or ground truths, of each image.

    Args:
        live (Tensor): (B, K), True or positive, zero for padding.

    Attributes:
        is_all (bool): Whether there is no padding.
    """

    def __init__(self, live: Tensor) -> None:
        self._flags: Array = live.cpu().numpy() > 0
        self.is_all = bool(self._flags.all())
        later, earlier = self._flags[:, 1:], self._flags[:, :-1]
        self._padding_is_last = self.is_all or not (later > earlier).any()

    def rows_of(self, matrices: Iterable[Array]) -> list[Array]:
        """The live rows of each matrix (K, n), a view if padding is last."""
        if self._padding_is_last:
            counts = self._flags.sum(1).tolist()
            return [matrix[:n] for matrix, n in zip(matrices, counts)]
        return [matrix[live] for matrix, live in zip(matrices, self._flags)]

    def among_all(self, image: Array, own: Array) -> Array:
        """Turns indices among an image's live entries into those among all."""
        if self._padding_is_last:
            return own
        counts = self._flags.sum(1)
        start = counts.cumsum() - counts
        entry: Array = self._flags.nonzero()[1][start[image] + own]
        return entry


def _solve(problems: list[Array]) -> list[Array]:
    """The pairs of each problem, see :func:`_solver`."""
    solve = _solver()
    threads = min(torch.get_num_threads(), len(problems))
    if threads > 1 and sum(each.size for each in problems) > _WORTH_THREADS:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(solve, problems))
    return list(map(solve, problems))


@lru_cache(maxsize=None)
def _solver() -> Solver:
    """Takes (m, n) prices, returns (k, 2) row and column, sorted by row."""
    if find_spec('lap') is not None:
        try:
            from lap import lapjvr

            options = dict(extend_cost=True, return_cost=False, output='pairs')
            return cast(Solver, partial(lapjvr, **options))
        except ImportError:  # another package of this name, or a lapx before
            pass
    return lambda price: np.stack(linear_sum_assignment(price), axis=1)
