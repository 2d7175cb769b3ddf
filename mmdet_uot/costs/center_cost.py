"""A cost of where the prior of a prediction lies."""

from __future__ import annotations

from mmdet.registry import TASK_UTILS
from torch import Tensor

from ..inputs.match_batch import MatchBatch
from .batched_cost import BatchedCost
from .span import Span

__all__ = ['CenterDistanceCost']

# Greater powers would overflow, and say no more: nothing so far is matched.
_MOST = 6.0


@TASK_UTILS.register_module()
class CenterDistanceCost(BatchedCost):
    r"""Distance of the prior from the centre of the ground truth.

    .. math:: w \, 10^{d_{ij} / s_i - r},

    with the distance d and the stride s of the prior in pixels. From 6
    strides beyond r on it stays what it is there.

    Source: Lyu et al., "RTMDet", 2022, Sec. 3.3, with r = 3.

    Args:
        radius (float): Distance r in strides from which the cost is
            considerable. Defaults to 3.
        weight (float): Factor w. Defaults to 1.
    """

    def __init__(self, *, radius: float = 3.0, weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        self.radius = radius

    @property
    def span(self) -> Span:
        """See :class:`BatchedCost`; that of priors within the radius."""
        return Span(0.0, self.weight, is_bound=False)

    def of_batch(self, batch: MatchBatch) -> Tensor:
        """See :class:`BatchedCost`.

        Raises:
            ValueError: If the priors are boxes of which no stride is known.
        """
        point, stride = batch.priors.unsqueeze(1).split(2, -1)
        if batch.prior_kind == 'boxes':
            if batch.prior_strides is None:
                raise ValueError(
                    'CenterDistanceCost needs the strides of the priors, and '
                    'those of this head are boxes without; take points, '
                    '(x, y, stride, stride), as RTMDet has them'
                )
            point = (point + stride) / 2
            stride = batch.prior_strides.unsqueeze(1)
        left_top, right_bottom = batch.gt_boxes.unsqueeze(2).split(2, -1)
        center = (left_top + right_bottom) / 2
        distance = (point - center).norm(dim=-1) / stride[..., 0]
        exponent = (distance - self.radius).clamp_(max=_MOST)
        return (10.0**exponent).mul_(self.weight)
