"""The matching watches itself: ground truths that get (almost) no mass."""

from __future__ import annotations

import logging
from copy import copy

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from ..costs.matching_cost import MatchingCost
from ..inputs.arrivals import Arrivals
from ..inputs.bad_numbers import BadNumberLog
from ..inputs.match_batch import MatchBatch
from ..ot import TransportPlan

__all__ = ['MatchingWatch']

# A ground truth that gets less than this share of its mass starves; that so
# many of all do is worth a line, once so many were seen.
_LEAST_SHARE = 0.05
_MANY = 0.25
_FEWEST_SEEN = 20

# Calls that are looked at: the first ones, then a few. After so many looks
# comes a line, if there is something to say; then seldom.
_FIRST_CALLS, _EVERY_CALL = 5, 20
_FIRST_LINES, _EVERY_LINE = (2, 5, 20), 500

# Upper ends of classes of box sides, in pixels.
_SIDES = (8.0, 16.0, 32.0, 64.0, 128.0, float('inf'))


class MatchingWatch:
    """Counts what the matching of a training leaves out, and says so.

    Looks at few of the calls, and reads a device's counts when they have
    arrived, so that it costs next to nothing and nothing waits.

    Args:
        cost (MatchingCost): Of the assigner, for the ways out.
    """

    def __init__(self, cost: MatchingCost) -> None:
        self.cost = cost
        self.calls = self.looks = 0
        self._sums = np.zeros(0)
        self._told: set[str] = set()
        self._arrivals = Arrivals()

    def __call__(self, batch: MatchBatch, plan: TransportPlan) -> None:
        """Looks at the plan of a batch, or not.

        Args:
            batch (MatchBatch): B images.
            plan (TransportPlan): Of the batch.
        """
        if max(batch.num_preds) == 0:
            return
        self.calls += 1
        if self.calls <= _FIRST_CALLS or self.calls % _EVERY_CALL == 0:
            entry = self.calls % len(batch)
            closest = self._closest(batch.part(slice(entry, entry + 1)))
            counts = _count(batch, plan, entry, closest)
            self._arrivals.put(counts, batch.are_priors)
        for arrived, are_priors in self._arrivals.pop():
            self._add(arrived, are_priors)

    def _closest(self, image: MatchBatch) -> Tensor:
        """(m,) cost of the closest prediction of each ground truth."""
        if max(image.num_preds) == 0:
            return image.boxes.new_zeros(max(image.num_gts))
        cost = copy(self.cost)
        # What is bad has been told of.
        cost.log = BadNumberLog(lambda counts: '')
        costs = cost(image, [None], exact=False)
        out = ~costs.pred_valid[0].unsqueeze(1)
        of_pairs = costs.cost[0, :, :-1].masked_fill(out, float('inf'))
        return of_pairs.amin(0).nan_to_num(posinf=0.0)

    def _add(self, counts: np.ndarray, are_priors: bool) -> None:
        self.looks += 1
        self._sums = counts if self._sums.size == 0 else self._sums + counts
        seldom = self.looks % _EVERY_LINE == 0
        if not seldom and self.looks not in _FIRST_LINES:
            return
        seen = _Seen(self._sums)
        for kind, text in (
            ('empty', seen.describe_empty()),
            ('starving', seen.describe_starving(self.cost, are_priors)),
        ):
            if text and (seldom or kind not in self._told):
                self._told.add(kind)
                print_log(text, logger='current', level=logging.WARNING)
        if seldom:
            self._sums = np.zeros(0)


def _count(
    batch: MatchBatch, plan: TransportPlan, entry: int, closest: Tensor
) -> Tensor:
    """(2 K + 6,) float64 sums; those of the closest costs of one entry."""
    least, greatest = plan.gt_asked[..., :-1]
    there = greatest > 0
    received = plan.gt_marginal[:, :-1]
    starves = there & (received < _LEAST_SHARE * least)
    side = _sides(batch, there)
    ends = [low <= side for low in (0.0, *_SIDES[:-1])]
    classes = torch.stack(
        [a & ~b for a, b in zip(ends, [*ends[1:], ~ends[0]])]
    )
    hungry = starves[entry, : len(closest)]
    sums = (
        torch.ones_like(plan.pred_mass[:, :1]).sum(),
        (~there.any(1)).sum(),
        received.sum(),
        (side * starves).sum(),
        torch.where(hungry, closest, 0.0).sum(),
        hungry.sum(),
    )
    return torch.cat(
        (
            (classes & there).sum((1, 2)).double(),
            (classes & starves).sum((1, 2)).double(),
            torch.stack([value.double() for value in sums]),
        )
    )


def _sides(batch: MatchBatch, there: Tensor) -> Tensor:
    """(B, M) root of the areas in pixels; 0 for ground truths without box."""
    if not batch.ground_truths.has_boxes:
        return torch.zeros_like(there, dtype=torch.float32)
    boxes = batch.gt_boxes
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1).sqrt()


class _Seen:
    """Sums of :func:`_count`, in words."""

    def __init__(self, sums: np.ndarray) -> None:
        of_classes = sums[: 2 * len(_SIDES)].reshape(2, -1)
        self.there, self.starving = of_classes
        (
            self.images,
            self.empty,
            self.received,
            self.sides,
            self.closest,
            self.hungry,
        ) = sums[2 * len(_SIDES) :]

    def describe_empty(self) -> str:
        """Says that no image has ground truths."""
        if self.empty < self.images:
            return ''
        return (
            f'none of the {self.images:.0f} images that the matching has '
            'looked at has ground truths, so that there is nothing to learn. '
            'Compare the classes of the dataset (metainfo) with the names in '
            'its annotation file; tools/check_data.py CONFIG does'
        )

    def describe_starving(self, cost: MatchingCost, are_priors: bool) -> str:
        """Says how many ground truths get almost no mass, and the way out."""
        there, starving = self.there.sum(), self.starving.sum()
        if there < _FEWEST_SEEN or starving < _MANY * there:
            return ''
        sides = '; '.join(
            f'{100 * hungry / count:.0f} % of {count:,.0f} {name}'
            for name, count, hungry in zip(_names(), self.there, self.starving)
            if count
        )
        text = (
            f'{100 * starving / there:.0f} % of {there:,.0f} ground truths '
            f'get less than {_LEAST_SHARE} of their mass in the matching, and '
            f'with it almost no loss ({sides}); all together get '
            f'{self.received / there:.2g} on average.'
        )
        ways = []
        background = cost.background_cost
        if self.hungry and isinstance(background, float):
            closest = self.closest / self.hungry
            text += (
                f' Their closest prediction costs {closest:.2g} on average, '
                f'background_cost is {background:g}.'
            )
            if closest > background:
                ways.append(f'raise background_cost above {closest:.2g}')
        if not cost.scale.is_unit:
            ways.append(
                "take cost_scaling='unit', in which background_cost is a "
                'share of what the costs span'
            )
        if are_priors:
            side = self.sides / starving
            ways.append(f'add anchors that fit boxes of {side:.0f} pixels')
        ways.append(
            "take preset='ssd_two_stage', which gives each its closest anchor"
            if are_priors
            else "make the masses firmer (tau2, or tau2='inf')"
        )
        return f'{text} To mend it, {", or ".join(ways)}'


def _names() -> list[str]:
    """What boxes of each class of sides are called."""
    first, *middle, _ = _SIDES
    pairs = zip(_SIDES[:-2], middle)
    return [
        f'below {first:.0f} pixels',
        *(f'from {low:.0f} to {high:.0f}' for low, high in pairs),
        f'from {_SIDES[-2]:.0f}',
    ]
