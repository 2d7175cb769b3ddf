"""The unit that costs are brought to before they are solved."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import reduce
from operator import add

import torch
from mmdet.models.task_modules.assigners.match_cost import (
    BaseMatchCost,
)
from mmengine.logging import print_log
from torch import Tensor

from ..inputs.bad_numbers import LARGEST, is_good
from ..inputs.match_batch import MatchBatch
from ..ot import beyond
from .compiled import scale_native
from .span import Span, span_of
from .whole_batch import batched_cost

__all__ = ['FARTHEST', 'GreatestScale', 'UnitScale']

# What costs beyond all others become, in units.
FARTHEST = 2.0


class UnitScale:
    """One unit for all images: what the match costs span together.

    Args:
        costs (Sequence[BaseMatchCost]): The match costs that are added up.
        unit (float, optional): The unit, for costs that begin at 0. Defaults
            to what the costs declare, or is measured of those that do not.
    """

    is_unit = True
    joins_images = False

    def __init__(
        self, costs: Sequence[BaseMatchCost], unit: float | None = None
    ) -> None:
        self.strangers: list[BaseMatchCost] = []
        spans = [Span(0.0, unit, is_bound=False)] if unit else []
        for cost in () if unit else costs:
            span = span_of(cost)
            if span is None:
                self.strangers.append(cost)
            else:
                spans.append(span)
        self.spans = spans

    @property
    def span(self) -> Span:
        """What the costs span together, as far as it is known."""
        return reduce(add, self.spans, Span(0.0, 0.0))

    def measure(
        self, batch: MatchBatch, gt_valid: Tensor, pred_valid: Tensor
    ) -> None:
        """Measures costs that declare no span, in the first batch with pairs.

        A GPU is waited for, this once.
        """
        if not self.strangers:
            return
        pairs = gt_valid.unsqueeze(2) & pred_valid.unsqueeze(1)
        if not bool(pairs.any()):
            return
        for cost in self.strangers:
            values = batched_cost(cost, batch)
            values = values[pairs & is_good(values)]
            if not len(values):
                return
            least, greatest = torch.stack(values.aminmax()).tolist()
            self.spans.append(Span(least, greatest, is_bound=False))
            print_log(
                f'{type(cost).__name__} declares no span; from {least:.4g} to '
                f'{greatest:.4g}, as in this batch, is its part of the unit. '
                'To fix it, give the class `span = (least, greatest)`, or the '
                'assigner a number as cost_scaling',
                logger='current',
                level=logging.INFO,
            )
        self.strangers = []

    def background(self, given: float | Tensor, exact: bool) -> float | Tensor:
        """The background cost beside the costs as they will be."""
        if not exact:
            return given
        return self.span.least + given * (self.span.unit or 1.0)

    def of_loss(self, loss: Tensor, exact: bool) -> Tensor:
        """The background cost, given in the unit of the match costs."""
        loss = loss.nan_to_num(math.inf).clamp(max=LARGEST)
        if exact:
            return loss
        span = self.span
        background = (loss - span.least) / (span.unit or 1.0)
        return background.clamp_(-FARTHEST, FARTHEST)

    def __call__(
        self,
        rows: Tensor,
        bad: Tensor | None,
        exact: bool,
        layers: int = 1,
    ) -> float:
        """Brings costs to the unit.

        Args:
            rows (Tensor): (B, M + 1, N) costs, the background last; are
                overwritten.
            bad (Tensor, optional): (B, M, N) bool, costs that are no good.
            exact (bool): Whether the matcher needs no unit.
            layers (int): Number of layers that B counts. Defaults to 1.

        Returns:
            float: What no cost exceeds in magnitude, but for bad ones, of
            which the solver need not be exact.
        """
        cost = rows[:, :-1]
        if exact:
            _replace(bad, rows, beyond(_greatest(rows)))
            return float('inf')
        span = self.span
        unit = span.unit or 1.0
        farthest = math.inf if span.is_bound else FARTHEST
        is_scaled = (span.least, unit, farthest) == (0, 1, math.inf)
        if not is_scaled and not scale_native(
            cost, span.least, unit, farthest
        ):
            cost.sub_(span.least).div_(unit).clamp_(-farthest, farthest)
        _replace(bad, rows, FARTHEST)
        return 1.0 if span.is_bound else FARTHEST


class GreatestScale:
    """The greatest magnitude of each image, or of the batch; or no unit.

    Args:
        of (str): ``'image_max'``, ``'batch_max'`` or ``'none'``.
    """

    is_unit = False

    def __init__(self, of: str) -> None:
        self.of = of

    @property
    def joins_images(self) -> bool:
        """Whether the costs of an image depend on the others."""
        return self.of == 'batch_max'

    def measure(
        self, batch: MatchBatch, gt_valid: Tensor, pred_valid: Tensor
    ) -> None:
        """There is nothing to measure beforehand."""

    def background(self, given: float | Tensor, exact: bool) -> float | Tensor:
        """The background cost is in the unit of the costs."""
        return given

    def of_loss(self, loss: Tensor, exact: bool) -> Tensor:
        """The same."""
        return loss.nan_to_num(math.inf).clamp(max=LARGEST)

    def __call__(
        self,
        rows: Tensor,
        bad: Tensor | None,
        exact: bool,
        layers: int = 1,
    ) -> float:
        """See :class:`UnitScale`."""
        scaled = self.of != 'none' and not exact
        if scaled or bad is not None:
            greatest = _greatest(rows)
            if self.of == 'batch_max':
                of_layer = greatest.view(layers, -1).amax(1, True)
                greatest = of_layer.expand(-1, len(rows) // layers)
                greatest = greatest.reshape(-1, 1, 1)
            _replace(bad, rows, beyond(greatest))
        if not scaled:
            return float('inf')
        rows /= torch.where(greatest > 0, greatest, 1.0)
        return 1.0


def _greatest(rows: Tensor) -> Tensor:
    """(B, 1, 1) greatest magnitude of the costs (B, M + 1, N)."""
    # One read each; abs() and aminmax() are several times slower.
    most, least = rows.amax((1, 2), True), rows.amin((1, 2), True)
    return torch.maximum(most, -least)


def _replace(
    bad: Tensor | None, rows: Tensor, instead: float | Tensor
) -> None:
    if bad is not None:
        cost = rows[:, :-1]
        cost.copy_(torch.where(bad, instead, cost))
