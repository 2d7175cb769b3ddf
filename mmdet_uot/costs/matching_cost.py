"""The cost of a matching problem, whatever its numbers hold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Union

import torch
from mmdet.models.task_modules.assigners.match_cost import (
    BaseMatchCost,
)
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from .._options import check_choice, named_options
from ..inputs.bad_numbers import BadNumberLog, is_good
from ..inputs.grey_zone import lies_in_band
from ..inputs.ignored import lies_in_ignored
from ..inputs.match_batch import MatchBatch
from ..ot import may_hold
from .bad_costs import BAD_COSTS, describe_problem
from .candidates import build_candidates
from .class_losses import BatchedBackgroundCost
from .exclusion import exclude
from .scale import FARTHEST, GreatestScale, UnitScale
from .whole_batch import add_cost, batched_cost

__all__ = ['BackgroundCost', 'Costs', 'MatchingCost']

# One number, one per prediction, (cost, number of predictions), or a config.
BackgroundCost = Union[float, Sequence, dict]

COST_SCALINGS = ('unit', 'image_max', 'batch_max', 'none')

_OTHER_WAYS = "set bad_costs='replace' or 'skip'"

# Costs are float32.
_LARGEST = torch.finfo(torch.float32).max


class Costs(NamedTuple):
    """What the pairs of a batch cost.

    Attributes:
        cost (Tensor): (B, N, M + 1) finite float32, the background last; zero
            in the padding.
        gt_valid (Tensor): (B, M) bool, ground truths that take part.
        pred_valid (Tensor): (B, N) bool, predictions that take part.
        max_cost (float): What no cost's magnitude exceeds.
        num_preds (list[int], optional): Numbers of predictions that take
            part, where they are known to the host.
        num_candidates (Tensor, optional): (B, M) int64, how many predictions
            each ground truth may be matched to; the others cost infinity.
    """

    cost: Tensor
    gt_valid: Tensor
    pred_valid: Tensor
    max_cost: float
    num_preds: list[int] | None
    num_candidates: Tensor | None = None


@TASK_UTILS.register_module()
@named_options
class MatchingCost:
    """What a pair costs, what the background costs, and who takes part.

    Args:
        match_costs (list[dict] | dict, optional): Match costs, added up;
            mmdet's own or any other of its interface. Box costs work on
            ``priors`` where predictions have no ``bboxes``. Defaults to
            ``OneMinusIoUCost``.
        background_cost (float | Sequence): Cost of matching a prediction to
            the background, in the unit of ``cost_scaling``: one number, one
            per prediction, or pairs (cost, number of predictions) for runs of
            them, such as the levels of a pyramid. The config of a cost of its
            own, such as ``FocalBackgroundCost``, gives it in the unit of the
            match costs. Defaults to 0.5.
        candidates (list[dict] | dict, optional): Config of a rule, or of
            several that must all hold, for which pairs may be matched:
            ``InsideBox``, ``CenterRegion``, ``IoUAbove``, ``AnyCandidate``.
            Other pairs get no mass at all. A ground truth without a candidate
            takes no part. Defaults to None, all.
        cost_scaling (str | float): The unit of the costs, and with it of
            epsilon, tau1 and tau2. ``'unit'``: what the match costs span
            together for ordinary pairs (:func:`.span.span_of`), from 0, the
            best of pairs, to 1, a pair with nothing in common; for costs that
            declare no span it is measured in the first batch. A number is
            such a unit, for costs that begin at 0. Three others are not the
            same for all images, and their background cost is in the unit of
            the match costs: ``'image_max'``, the greatest magnitude in the
            image, background included; ``'batch_max'``, that of the batch
            (of each decoder layer), as in the authors' library; ``'none'``,
            1. Defaults to ``'unit'``.
        bad_costs (str): What becomes of match costs that are NaN, infinite
            or beyond 1e15: ``'replace'`` makes them twice the greatest other
            one of the image, and leaves out ground truths with such boxes;
            ``'skip'`` gives the image no plan; both warn. ``'raise'`` raises
            a ValueError, for which a GPU waits at every call. A ground truth
            whose box has no area takes no part in any case. Defaults to
            ``'replace'``.
        ignore_iof_thr (float): Predictions of which more than this share
            lies in an ignored box take no part. 0 or less: none is ignored.
            Defaults to -1.
        ignore_wrt_candidates (bool): Whether the share is of the
            prediction's area rather than of the ignored box's. Defaults to
            True.
        ignore_band (tuple[float, float], optional): Predictions whose
            greatest IoU is at least the first number and less than the second
            take no part. Where ground truths insist on their mass, the
            closest prediction of each does. Defaults to None.

    Raises:
        TypeError: If an option is of another type.
        ValueError: If an option is out of its range.
    """

    def __init__(
        self,
        *,
        match_costs: Sequence[dict] | dict | None = None,
        background_cost: BackgroundCost = 0.5,
        candidates: Sequence[dict] | dict | None = None,
        cost_scaling: str | float = 'unit',
        bad_costs: str = 'replace',
        ignore_iof_thr: float = -1.0,
        ignore_wrt_candidates: bool = True,
        ignore_band: tuple[float, float] | None = None,
    ) -> None:
        if isinstance(cost_scaling, str):
            check_choice('cost_scaling', cost_scaling, COST_SCALINGS)
        elif cost_scaling is None or not 0 < cost_scaling <= _LARGEST:
            raise ValueError(
                'cost_scaling must be positive and finite, or one of '
                f'{COST_SCALINGS}, got {cost_scaling!r}'
            )
        check_choice('bad_costs', bad_costs, BAD_COSTS)
        if not isinstance(ignore_iof_thr, (int, float)):
            raise TypeError(
                f'ignore_iof_thr must be a number, got {ignore_iof_thr!r}; 0 '
                'or less ignores none'
            )
        self.ignore_band = _parse_band(ignore_band)
        self.match_costs = _build_costs(match_costs)
        self.background_cost = _parse_background(background_cost)
        self.candidates = build_candidates(candidates)
        self.scale: UnitScale | GreatestScale
        if not isinstance(cost_scaling, str):
            self.scale = UnitScale(self.match_costs, cost_scaling)
        elif cost_scaling == 'unit':
            self.scale = UnitScale(self.match_costs)
        else:
            self.scale = GreatestScale(cost_scaling)
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
        forced: bool = False,
    ) -> Costs:
        """Computes the costs of a batch.

        Args:
            batch (MatchBatch): B images.
            batch_ignore (Sequence[InstanceData | None]): Per image, ignored
                ``bboxes``, or None.
            exact (bool): Whether the matcher is exact and needs no scaling.
            forced (bool): Whether ground truths insist on their mass.
                Defaults to False.

        Returns:
            Costs: With the background as the last column.

        Raises:
            ValueError: If ``bad_costs`` is ``'raise'`` and there are some.
        """
        gt_valid = batch.gt_valid()
        pred_valid = self.taking_part(batch, batch_ignore, forced)
        self.scale.measure(batch, gt_valid, pred_valid)
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
        background = self.background_cost
        if isinstance(background, BatchedBackgroundCost):
            loss = background.of_background(batch)
            rows[:, -1] = self.scale.of_loss(loss, exact)
        else:
            numbers = self.background_of(batch)
            rows[:, -1] = self.scale.background(numbers, exact)
        if may_hold(~pred_valid):
            rows.masked_fill_(~pred_valid.unsqueeze(1), 0.0)
        if bad is not None:
            bad &= pred_valid.unsqueeze(1)
        max_cost = self.scale(rows, bad, exact, batch.layers)
        if isinstance(self.background_cost, BatchedBackgroundCost):
            max_cost = max(max_cost, FARTHEST)
        num_candidates = None
        if self.candidates is not None:
            allowed = self.candidates.pairs(batch)
            num_candidates = exclude(cost, allowed, gt_valid, pred_valid)
            # That of the batch stays: it is asked again.
            gt_valid = gt_valid & (num_candidates > 0)
        return Costs(
            rows.mT,
            gt_valid,
            pred_valid,
            max_cost,
            num_preds=None if self.ignores else batch.num_preds,
            num_candidates=num_candidates,
        )

    @property
    def ignores(self) -> bool:
        """Whether predictions may take no part, whatever they cost."""
        return self.ignore_iof_thr > 0 or self.ignore_band is not None

    def taking_part(
        self,
        batch: MatchBatch,
        batch_ignore: Sequence[InstanceData | None],
        forced: bool,
    ) -> Tensor:
        """(B, N) bool, predictions outside of what is ignored."""
        pred_valid = batch.pred_valid()
        if self.ignore_iof_thr > 0:
            pred_valid &= ~lies_in_ignored(
                batch,
                batch_ignore,
                self.ignore_iof_thr,
                self.ignore_wrt_candidates,
            )
        if self.ignore_band is not None:
            pred_valid &= ~lies_in_band(
                batch, *self.ignore_band, keep_closest=forced
            )
        return pred_valid

    def background_of(self, batch: MatchBatch) -> float | Tensor:
        """Numbers given: one, (N,) or (B, N) float32."""
        background = self.background_cost
        if not isinstance(background, Tensor):
            assert isinstance(background, float)
            return background
        background = background.to(
            batch.device, torch.float32, non_blocking=True
        )
        return batch.of_preds('background_cost', background)

    def _rows(
        self, batch: MatchBatch, gt_valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(B, M + 1, N) costs, and (T, B) whether a term may be bad.

        The last row is the background's, zero as the padding.
        """
        B, N, columns = batch.shape
        rows = torch.zeros((B, columns, N), device=batch.device)
        may_be_bad = [
            add_cost(match_cost, batch, gt_valid, rows[:, :-1])
            for match_cost in self.match_costs
        ]
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


def _parse_background(
    value: BackgroundCost,
) -> float | Tensor | BatchedBackgroundCost:
    """One number, (N,) float64, or what gives (B, N) for a batch."""
    if isinstance(value, dict):
        value = TASK_UTILS.build(value)
    if isinstance(value, BatchedBackgroundCost):
        return value
    numbers: Sequence[Any] = value if isinstance(value, Sequence) else [value]
    if all(_is_run(entry) for entry in numbers):
        numbers = [cost for cost, count in numbers for _ in range(count)]
    if not numbers or not all(
        isinstance(number, (int, float)) and abs(number) <= _LARGEST
        for number in numbers
    ):
        raise ValueError(
            'background_cost must be a finite number, one per prediction, '
            'pairs (cost, number of predictions), or the config of a '
            f'background cost, got {value!r}'
        )
    if not isinstance(value, Sequence):
        return float(numbers[0])
    return torch.tensor(numbers, dtype=torch.float64)


def _parse_band(
    value: tuple[float, float] | None,
) -> tuple[float, float] | None:
    if value is None:
        return None
    if (
        not isinstance(value, Sequence)
        or len(value) != 2
        or not all(isinstance(number, (int, float)) for number in value)
        or not 0 <= value[0] < value[1] <= 1
    ):
        raise ValueError(
            'ignore_band must be two IoUs (low, high) with 0 <= low < high <= '
            f'1, or None, got {value!r}'
        )
    low, high = value
    return low, high


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
