"""From predictions and ground truths to a matching problem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from mmdet.models.task_modules.assigners.match_cost import (
    BaseMatchCost,
)
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from .._options import check_choice
from ..inputs.bad_numbers import BadNumberLog, is_good
from ..inputs.ignored import lies_in_ignored
from ..inputs.match_batch import MatchBatch
from ..ot import MatchingProblem, beyond, may_hold
from .bad_costs import BAD_COSTS, describe_problem
from .whole_batch import add_cost, batched_cost

__all__ = ['ProblemBuilder']

COST_SCALINGS = ('image_max', 'batch_max', 'none')

_OTHER_WAYS = "set bad_costs='replace' or 'skip'"

# Costs are float32.
_LARGEST = torch.finfo(torch.float32).max


class ProblemBuilder:
    """Adds up match costs and makes them a problem; see :class:`UOTAssigner`.

    Args:
        match_costs (list[dict] | dict, optional): Match costs, added up.
            Defaults to ``OneMinusIoUCost``.
        background_cost (float | Sequence): Cost of the background.
        cost_scaling (str): What the costs are divided by.
        bad_costs (str): What becomes of costs that are not finite.
        ignore_iof_thr (float): Share of a prediction in ignored boxes.
        ignore_wrt_candidates (bool): What the share is of.

    Raises:
        TypeError: If an option is of another type.
        ValueError: If an option is out of its range.
    """

    def __init__(
        self,
        *,
        match_costs: Sequence[dict] | dict | None,
        background_cost: float | Sequence[float] | Sequence[tuple[float, int]],
        cost_scaling: str,
        bad_costs: str,
        ignore_iof_thr: float,
        ignore_wrt_candidates: bool,
    ) -> None:
        check_choice('cost_scaling', cost_scaling, COST_SCALINGS)
        check_choice('bad_costs', bad_costs, BAD_COSTS)
        if not isinstance(ignore_iof_thr, (int, float)):
            raise TypeError(
                f'ignore_iof_thr must be a number, got {ignore_iof_thr!r}; 0 '
                'or less ignores none'
            )
        self.match_costs = _build_costs(match_costs)
        self.background_cost = _parse_background(background_cost)
        largest = torch.as_tensor(self.background_cost).abs().max()
        self.largest_background = largest.item()
        self.cost_scaling = cost_scaling
        self.bad_costs = bad_costs
        self.ignore_iof_thr = ignore_iof_thr
        self.ignore_wrt_candidates = ignore_wrt_candidates
        terms = [type(cost).__name__ for cost in self.match_costs]
        self.log = BadNumberLog(
            partial(describe_problem, terms, bad_costs == 'skip')
        )

    def __call__(
        self,
        batch: MatchBatch,
        batch_ignore: Sequence[InstanceData | None],
        exact: bool,
    ) -> MatchingProblem:
        """Builds the problem of a batch.

        Args:
            batch (MatchBatch): B images.
            batch_ignore (Sequence[InstanceData | None]): Per image, ignored
                ``bboxes``, or None.
            exact (bool): Whether the matcher is exact and needs no scaling.

        Returns:
            MatchingProblem: Cost (B, N, M + 1).

        Raises:
            ValueError: If ``bad_costs`` is ``'raise'`` and there are some.
        """
        gt_valid, pred_valid = batch.gt_valid(), batch.pred_valid()
        if self.ignore_iof_thr > 0:
            pred_valid &= ~lies_in_ignored(
                batch,
                batch_ignore,
                self.ignore_iof_thr,
                self.ignore_wrt_candidates,
            )
        rows, term_is_bad = self._rows(batch, gt_valid)
        cost = rows[:, :-1]
        gt_flaws = batch.gt_flaws()
        bad = None
        if may_hold(term_is_bad):
            bad = ~is_good(cost)
            cost.masked_fill_(bad, 0.0)
            bad &= gt_valid.unsqueeze(2) & pred_valid.unsqueeze(1)
        if bad is not None or may_hold(gt_flaws > 0):
            pred_valid &= self._tell(bad, term_is_bad, gt_flaws, batch)
            cost.masked_fill_(~gt_valid.unsqueeze(2), 0.0)
        if may_hold(~pred_valid):
            rows.masked_fill_(~pred_valid.unsqueeze(1), 0.0)
        scaled = self.cost_scaling != 'none' and not exact
        if scaled or bad is not None:
            largest = self._largest(rows)
        if bad is not None:
            bad &= pred_valid.unsqueeze(1)
            cost.copy_(torch.where(bad, beyond(largest), cost))
        if scaled:
            rows /= torch.where(largest > 0, largest, 1.0)
        return MatchingProblem.from_masks(
            rows.mT,
            gt_valid,
            pred_valid,
            # Bad costs are 2: the solver need not be exact for those.
            max_cost=1.0 if scaled else math.inf,
            background_cost=self.largest_background,
        )

    def _rows(
        self, batch: MatchBatch, gt_valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(B, M + 1, N) costs, and (T, B) whether a term may be bad.

        The last row is the background; the padding is zero.
        """
        B, N, columns = batch.shape
        rows = torch.zeros((B, columns, N), device=batch.device)
        may_be_bad = [
            add_cost(match_cost, batch, gt_valid, rows[:, :-1])
            for match_cost in self.match_costs
        ]
        rows[:, -1] = self._background(batch, rows)
        return rows, torch.stack(may_be_bad)

    def _tell(
        self,
        bad: Tensor | None,
        term_is_bad: Tensor,
        gt_flaws: Tensor,
        batch: MatchBatch,
    ) -> Tensor:
        """(B, 1) bool, the images that take part; tells of the others."""
        if self.bad_costs == 'raise':
            self._raise(term_is_bad, batch)
        entries = gt_flaws[:1] * 0 if bad is None else bad.sum((1, 2))[None]
        counts = torch.cat((entries, gt_flaws, term_is_bad.to(entries)))
        self.log.add(counts, batch.names)
        num_bad = counts[:2].sum(0)
        keep = num_bad == 0 if self.bad_costs == 'skip' else num_bad >= 0
        return keep.unsqueeze(1)

    def _raise(self, term_is_bad: Tensor, batch: MatchBatch) -> None:
        """Raises ValueError for the first bad number, if there is one."""
        names = batch.names
        for image, gt, box in batch.bad_gts():
            raise ValueError(
                f'{names[image]}: ground truth {gt} has the box {box}. Mend '
                f'it, or {_OTHER_WAYS}'
            )
        for image, term in term_is_bad.mT.nonzero().tolist():
            cost = batched_cost(self.match_costs[term], batch)[image].mT
            cost = cost[: batch.num_preds[image], : batch.num_gts[image]]
            for pred, gt in (~is_good(cost)).nonzero().tolist():
                raise ValueError(
                    f'{names[image]}: '
                    f'{type(self.match_costs[term]).__name__} is '
                    f'{cost[pred, gt].item()} for prediction {pred} and '
                    f'ground truth {gt}. Look at the learning rate, the '
                    f'image and its boxes, or {_OTHER_WAYS}'
                )

    def _background(self, batch: MatchBatch, rows: Tensor) -> float | Tensor:
        """Cost of the background for costs (B, M + 1, N)."""
        background = self.background_cost
        if isinstance(background, float):
            return background
        background = background.to(rows.device, rows.dtype, non_blocking=True)
        return batch.of_preds('background_cost', background)

    def _largest(self, rows: Tensor) -> Tensor:
        """(B, 1, 1) greatest magnitude of the costs (B, M + 1, N)."""
        # One read each; abs() and aminmax() are several times slower.
        most, least = rows.amax((1, 2), True), rows.amin((1, 2), True)
        largest = torch.maximum(most, -least)
        if self.cost_scaling == 'batch_max':
            largest = largest.amax().expand_as(largest)
        return largest


def _parse_background(
    value: float | Sequence[float] | Sequence[tuple[float, int]],
) -> float | Tensor:
    """One number, or (N,) float64."""
    numbers = value if isinstance(value, Sequence) else [value]
    if all(_is_run(entry) for entry in numbers):
        numbers = [cost for cost, count in numbers for _ in range(count)]
    if not numbers or not all(
        isinstance(number, (int, float)) and abs(number) <= _LARGEST
        for number in numbers
    ):
        raise ValueError(
            'background_cost must be a finite number, one per prediction, or '
            f'pairs (cost, number of predictions), got {value!r}'
        )
    if not isinstance(value, Sequence):
        return float(value)
    return torch.tensor(numbers, dtype=torch.float64)


def _is_run(entry: object) -> bool:
    if not isinstance(entry, Sequence) or len(entry) != 2:
        return False
    return isinstance(entry[1], int)


def _build_costs(configs: Sequence[dict] | dict | None) -> list[BaseMatchCost]:
    if configs is None:
        configs = dict(type='OneMinusIoUCost')
    if isinstance(configs, dict):
        configs = [configs]
    if not isinstance(configs, Sequence) or not all(
        isinstance(config, dict) for config in configs
    ):
        raise TypeError(
            'match_costs must be the config of a match cost, or a sequence '
            f'of them, got {configs!r}'
        )
    if not configs:
        raise ValueError('match_costs must name at least one cost, got none')
    return [TASK_UTILS.build(config) for config in configs]
