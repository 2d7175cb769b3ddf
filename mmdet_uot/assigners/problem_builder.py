"""From predictions and ground truths to a matching problem."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmdet.models.task_modules.assigners.match_cost import (
    BaseMatchCost,
)
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from ..ot import MatchingProblem, beyond, may_hold
from .bad_costs import BAD_COSTS, BadCostLog, image_name
from .batch import MatchBatch
from .batched_costs import batched_cost
from .ignore import lies_in_ignored
from .matcher import check_choice

__all__ = ['ProblemBuilder']

COST_SCALINGS = ('image_max', 'batch_max', 'none')


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
        self.match_costs = _build_costs(match_costs)
        self.background_cost = _background_tensor(background_cost)
        self.cost_scaling = cost_scaling
        self.bad_costs = bad_costs
        self.ignore_iof_thr = ignore_iof_thr
        self.ignore_wrt_candidates = ignore_wrt_candidates
        self.log = BadCostLog(
            'the image takes no part in the matching'
            if bad_costs == 'skip'
            else 'they count as costs beyond all others of the image'
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
        cost, term_is_bad = self._cost(batch)
        bad = None
        if may_hold(term_is_bad):
            bad = ~cost.isfinite()
            cost.masked_fill_(bad, 0.0)
            pred_valid &= self._tell(bad, term_is_bad, batch)
        valid = gt_valid.unsqueeze(2) & pred_valid.unsqueeze(1)
        background = self._background(cost)
        scaled = self.cost_scaling != 'none' and not exact
        if scaled or bad is not None:
            largest = self._largest(cost, background, valid)
        if bad is not None:
            cost = torch.where(bad, beyond(largest), cost)
        if scaled:
            largest = torch.where(largest > 0, largest, 1.0)
            cost /= largest
            background = background / largest.squeeze(1)
        return MatchingProblem.from_padded(
            cost.mT,
            gt_valid,
            background,
            pred_valid,
            max_cost=1.0 if scaled else math.inf,
        )

    def _cost(self, batch: MatchBatch) -> tuple[Tensor, Tensor]:
        """(B, M, N) sum of the costs, and (T, B) where a term is bad."""
        total, is_bad = None, []
        for match_cost in self.match_costs:
            cost = batched_cost(match_cost, batch)
            is_bad.append(~cost.sum((1, 2)).isfinite())
            total = cost if total is None else total.add_(cost)
        return total, torch.stack(is_bad)

    def _tell(
        self, bad: Tensor, term_is_bad: Tensor, batch: MatchBatch
    ) -> Tensor:
        """(B, 1) bool, the images that take part; tells of the others."""
        if self.bad_costs == 'raise':
            self._raise(term_is_bad, batch)
        counts = bad.sum((1, 2))
        terms = [type(cost).__name__ for cost in self.match_costs]
        self.log.add(terms, term_is_bad, counts, batch.metas)
        keep = counts == 0 if self.bad_costs == 'skip' else counts >= 0
        return keep.unsqueeze(1)

    def _raise(self, term_is_bad: Tensor, batch: MatchBatch) -> None:
        for image, term in term_is_bad.mT.nonzero().tolist():
            cost = batched_cost(self.match_costs[term], batch)[image]
            for gt, pred in (~cost.isfinite()).nonzero().tolist():
                raise ValueError(
                    f'{image_name(batch.metas, image)}: '
                    f'{type(self.match_costs[term]).__name__} is '
                    f'{cost[gt, pred].item()} for prediction {pred} and '
                    f'ground truth {gt}. Look at the learning rate, the '
                    "image and its boxes, or set bad_costs='replace' or "
                    "'skip'"
                )

    def _background(self, cost: Tensor) -> Tensor:
        """(B, N) cost of the background, for match costs (B, M, N)."""
        background = self.background_cost.to(cost)
        if background.dim() and tuple(background.shape) != cost.shape[2:]:
            raise ValueError(
                'background_cost must be one number or one per prediction '
                f'({cost.shape[2]}), got shape {tuple(background.shape)}'
            )
        return background.expand(cost.shape[0], cost.shape[2])

    def _largest(
        self, cost: Tensor, background: Tensor, valid: Tensor
    ) -> Tensor:
        """(B, 1, 1) greatest magnitude, background included."""
        of_each = torch.where(valid, cost, 0.0).abs_().amax(2)
        largest = torch.cat((of_each, background.abs()), dim=1).amax(1)
        largest = largest.view(-1, 1, 1)
        if self.cost_scaling == 'batch_max':
            largest = largest.amax().expand_as(largest)
        return largest


def _background_tensor(
    value: float | Sequence[float] | Sequence[tuple[float, int]],
) -> Tensor:
    """() or (N,) float64."""
    numbers = value if isinstance(value, Sequence) else [value]
    if all(isinstance(run, Sequence) and len(run) == 2 for run in numbers):
        numbers = [cost for cost, count in numbers for _ in range(count)]
    if not numbers or not all(
        isinstance(number, (int, float)) and math.isfinite(number)
        for number in numbers
    ):
        raise ValueError(
            'background_cost must be a finite number, one per prediction, or '
            f'pairs (cost, number of predictions), got {value!r}'
        )
    background = torch.tensor(numbers, dtype=torch.float64)
    return background if isinstance(value, Sequence) else background[0]


def _build_costs(configs: Sequence[dict] | dict | None) -> list[BaseMatchCost]:
    if configs is None:
        configs = dict(type='OneMinusIoUCost')
    if isinstance(configs, dict):
        configs = [configs]
    if not configs:
        raise ValueError('match_costs must name at least one cost, got none')
    return [TASK_UTILS.build(config) for config in configs]
