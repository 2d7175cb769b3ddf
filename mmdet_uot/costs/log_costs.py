"""Costs that are logarithms, and powers of costs."""

from __future__ import annotations

import math

from mmdet.registry import TASK_UTILS
from torch import Tensor

from .._options import check_choice
from ..inputs.match_batch import MatchBatch
from .batched_cost import BatchedCost
from .class_losses import SCORES, probabilities_of
from .pairs import of_labels, overlaps
from .span import Span, span_of
from .whole_batch import batched_cost

__all__ = ['AlignmentCost', 'NegLogIoUCost', 'PowerCost']

# Added before the logarithm, as in mmdet's SimOTAAssigner.
_EPS = 1e-7

# -log of what a pair that has nothing in common is taken for.
_NOTHING = -math.log(0.01)


@TASK_UTILS.register_module()
class NegLogIoUCost(BatchedCost):
    r"""Box cost :math:`-w \log \mathrm{IoU}(\hat b_i, b_j)`.

    The unit is that of an IoU of 0.01.

    Args:
        weight (float): Weight w: 1.5 in OTA, 3 in SimOTA. Defaults to 1.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight=weight)

    @property
    def span(self) -> Span:
        """See :class:`BatchedCost`."""
        return Span(0.0, _NOTHING * self.weight, is_bound=False)

    def of_batch(self, batch: MatchBatch) -> Tensor:
        """See :class:`BatchedCost`."""
        return overlaps(batch, 'iou').add_(_EPS).log_().mul_(-self.weight)


@TASK_UTILS.register_module()
class AlignmentCost(BatchedCost):
    r"""The negative logarithm of the alignment metric of TAL.

    .. math::
        -\alpha \log \hat c_{i, c_j} - \beta \log \mathrm{IoU}(\hat b_i, b_j).

    Source: Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV
    2021, Eq. 4.

    Args:
        alpha (float): Exponent of the score. Defaults to 1.
        beta (float): Exponent of the IoU. Defaults to 6.
        weight (float): Factor. Defaults to 1.
        scores (str): What ``scores`` holds: ``'logits'``, or
            ``'probabilities'``, as TOOD gives its assigner. Defaults to
            ``'logits'``.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        beta: float = 6.0,
        weight: float = 1.0,
        scores: str = 'logits',
    ) -> None:
        super().__init__(weight=weight)
        check_choice('scores', scores, SCORES)
        self.alpha, self.beta, self.scores = alpha, beta, scores

    @property
    def span(self) -> Span:
        """See :class:`BatchedCost`."""
        most = (self.alpha + self.beta) * _NOTHING * self.weight
        return Span(0.0, most, is_bound=False)

    def of_batch(self, batch: MatchBatch) -> Tensor:
        """See :class:`BatchedCost`."""
        p = of_labels(probabilities_of(batch, self.scores), batch)
        cost = overlaps(batch, 'iou').add_(_EPS).log_().mul_(self.beta)
        cost.add_((p + _EPS).log_(), alpha=self.alpha)
        return cost.mul_(-self.weight)


@TASK_UTILS.register_module()
class PowerCost(BatchedCost):
    r"""A power of another cost, :math:`w (C_{ij} - c)^p`.

    c is the least cost of the other one's span, so that costs which begin
    below 0, as mmdet's, have powers too.

    Args:
        cost (dict): Config of the other cost.
        power (float): Exponent p > 0. Defaults to 2.
        weight (float): Weight w. Defaults to 1.

    Raises:
        ValueError: If the power is not positive, or the cost has no span.
    """

    def __init__(
        self, *, cost: dict, power: float = 2.0, weight: float = 1.0
    ) -> None:
        super().__init__(weight=weight)
        if not power > 0:
            raise ValueError(f'power must be positive, got {power}')
        self.cost, self.power = TASK_UTILS.build(cost), power
        span = span_of(self.cost)
        if span is None:
            raise ValueError(
                f'cost must declare what it spans, {cost["type"]} does not; '
                'give the class `span = (least, greatest)`'
            )
        self.of_cost = span

    @property
    def span(self) -> Span:
        """See :class:`BatchedCost`."""
        greatest = self.weight * self.of_cost.unit**self.power
        return Span(0.0, greatest, self.of_cost.is_bound)

    def of_batch(self, batch: MatchBatch) -> Tensor:
        """See :class:`BatchedCost`."""
        cost = batched_cost(self.cost, batch) - self.of_cost.least
        return cost.clamp_(min=0.0).pow_(self.power).mul_(self.weight)
