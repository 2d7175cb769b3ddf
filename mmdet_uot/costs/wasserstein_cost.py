"""A box cost from the Wasserstein distance of Gaussians."""

from __future__ import annotations

import math

import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor

from .._options import named_options
from ..inputs.match_batch import MatchBatch
from .batched_cost import BatchedCost
from .span import Span

__all__ = ['GaussianWassersteinCost', 'gaussian_wasserstein']


def gaussian_wasserstein(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    r"""2-Wasserstein distance of boxes as Gaussians.

    A box is :math:`\mathcal{N}((c_x, c_y), \mathrm{diag}(w^2 / 4, h^2 / 4))`
    (Yang et al., "Rethinking Rotated Object Detection with Gaussian
    Wasserstein Distance Loss", ICML 2021). The covariances commute, so that

    .. math::
        W^2 &= (c_x - c'_x)^2 + (c_y - c'_y)^2
               + \tfrac{1}{4} \bigl( (w - w')^2 + (h - h')^2 \bigr) \\
            &= \tfrac{1}{2} \bigl( (x_1 - x'_1)^2 + (y_1 - y'_1)^2
               + (x_2 - x'_2)^2 + (y_2 - y'_2)^2 \bigr).

    Args:
        boxes1 (Tensor): (..., K, 4) boxes, xyxy.
        boxes2 (Tensor): (..., L, 4) boxes, xyxy, in the same unit.

    Returns:
        Tensor: (..., K, L) distances in the unit of the boxes.
    """
    squares = (
        (boxes1[..., :, None, axis] - boxes2[..., None, :, axis]).square_()
        for axis in range(4)
    )
    return sum(squares, start=next(squares)).div_(2).sqrt_()


@TASK_UTILS.register_module()
@named_options
class GaussianWassersteinCost(BatchedCost):
    r"""Box cost :math:`w \, W_{ij} / (W_{ij} + c \, s_{ij})`.

    With the distance W of :func:`gaussian_wasserstein` this is the loss
    :math:`1 - 1 / (\tau + f(W^2))` of Yang et al. with :math:`\tau = 1` and
    the square root as f, for distances in units of :math:`c \, s_{ij}`. It is
    in [0, w] and, unlike 1 - IoU, goes on growing where boxes do not overlap.

    By default the unit is relative to the boxes, as in MMRotate's GWD loss,

    .. math:: s_{ij} = (\hat w_i \hat h_i w_j h_j)^{1/4}.

    Like 1 - IoU, the cost then does not change with the scale of the image.

    Args:
        unit (str): ``'box'``, s is the geometric mean of the four sides, or
            ``'pixel'``, s is 1. Defaults to ``'box'``.
        constant (float): Distance c, in that unit, at which the cost is w/2.
            Defaults to 1/3: squares that are shifted along a side by a third
            of it have an IoU of 1/2.
        weight (float): Weight w. Defaults to 1.

    Raises:
        ValueError: If ``unit`` is unknown or ``constant`` is not positive.
    """

    def __init__(
        self, unit: str = 'box', constant: float = 1 / 3, weight: float = 1.0
    ) -> None:
        super().__init__(weight=weight)
        if unit not in ('box', 'pixel'):
            raise ValueError(f"unit must be 'box' or 'pixel', got {unit!r}")
        if not 0 < constant < math.inf:
            raise ValueError(
                f'constant must be positive and finite, got {constant!r}; it '
                'is the distance at which the cost is half of weight'
            )
        self.unit = unit
        self.constant = constant

    def of_boxes(self, boxes1: Tensor, boxes2: Tensor) -> Tensor:
        """(..., K, L) cost of (..., K, 4) and (..., L, 4) boxes, xyxy."""
        distance = gaussian_wasserstein(boxes1, boxes2)
        if self.unit == 'box':
            side1, side2 = _root_of_side(boxes1), _root_of_side(boxes2)
            distance /= side1.unsqueeze(-1) * side2.unsqueeze(-2)
        return distance.div_(distance + self.constant).mul_(self.weight)

    @property
    def span(self) -> Span:
        """See :class:`BatchedCost`."""
        return Span(0.0, self.weight)

    def of_batch(self, batch: MatchBatch) -> Tensor:
        """See :class:`BatchedCost`."""
        return self.of_boxes(batch.gt_boxes, batch.boxes)


def _root_of_side(boxes: Tensor) -> Tensor:
    """(..., K) root of the geometric mean of both sides, never 0."""
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    return area.clamp(min=torch.finfo(area.dtype).tiny) ** 0.25
