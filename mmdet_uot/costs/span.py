"""The unit of match costs: what they span for ordinary pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from mmdet.models.task_modules.assigners.match_cost import (
    BaseMatchCost,
    BBoxL1Cost,
    ClassificationCost,
    FocalLossCost,
    IoUCost,
)

__all__ = ['Span', 'span_of']


class Span(NamedTuple):
    """Least and greatest cost of ordinary pairs.

    Attributes:
        least (float): The cost of the best of pairs.
        greatest (float): The cost of a pair that has nothing in common.
        is_bound (bool): Whether no pair lies outside. Defaults to True.
    """

    least: float
    greatest: float
    is_bound: bool = True

    def __add__(self, other: Span) -> Span:  # type: ignore[override]
        """The span of a sum of costs."""
        return Span(
            self.least + other.least,
            self.greatest + other.greatest,
            self.is_bound and other.is_bound,
        )

    @property
    def unit(self) -> float:
        """What lies between the two."""
        return self.greatest - self.least


def span_of(cost: BaseMatchCost) -> Span | None:
    """What a match cost spans.

    Args:
        cost (BaseMatchCost): Any match cost. One with an attribute ``span``,
            (least, greatest), is taken at its word.

    Returns:
        Span | None: None for a stranger's cost.
    """
    span = getattr(cost, 'span', None)
    if span is not None:
        return Span(*span)
    known = _SPANS.get(type(cost))
    return known(cost) if known else None


def _of_focal(cost: FocalLossCost) -> Span:
    """From the prior probability of new heads to a confident detection."""
    p = torch.tensor([0.9, 0.01])
    positive = -p.log() * cost.alpha * (1 - p).pow(cost.gamma)
    negative = -(1 - p).log() * (1 - cost.alpha) * p.pow(cost.gamma)
    least, greatest = (cost.weight * (positive - negative)).tolist()
    return Span(least, greatest, is_bound=False)


# Two boxes drawn at random differ by about 0.8 image sides in all. With it the
# paper's costs for DETR, of weights 2, 5 and 2, span 10: what the authors'
# library, whose background costs 10, divides by.
_SPANS: dict[type[BaseMatchCost], Callable[..., Span]] = {
    BBoxL1Cost: lambda cost: Span(0.0, 0.8 * cost.weight, is_bound=False),
    ClassificationCost: lambda cost: Span(-cost.weight, 0.0),
    FocalLossCost: _of_focal,
    IoUCost: lambda cost: Span(
        -cost.weight, cost.weight if cost.iou_mode == 'giou' else 0.0
    ),
}
