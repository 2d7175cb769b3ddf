"""Class costs that are losses: of a class, and of the background."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor

from .._options import check_choice
from ..inputs.match_batch import MatchBatch
from .batched_cost import BatchedCost
from .pairs import of_labels, overlaps
from .span import Span

__all__ = [
    'BatchedBackgroundCost',
    'BinaryBackgroundCost',
    'BinaryClassCost',
    'FocalBackgroundCost',
    'FocalClassCost',
    'PositionModulatedCost',
    'SoftLabelCost',
    'probabilities_of',
]

SCORES = ('logits', 'probabilities')

# Probabilities of a confident detection and of new heads: what a span is of.
_ORDINARY = (0.9, 0.01)


def probabilities_of(batch: MatchBatch, scores: str) -> Tensor:
    """(B, N, C) probabilities of independent classes.

    Args:
        batch (MatchBatch): The batch.
        scores (str): What its scores are where the head does not say it.

    Returns:
        Tensor: In [0, 1].
    """
    kind = batch.score_kind or scores
    return batch.scores.sigmoid() if kind == 'logits' else batch.scores


class _Binary:
    r"""Binary cross-entropy of each class, :math:`-\log p`."""

    def __init__(self, *, weight: float = 1.0, scores: str = 'logits') -> None:
        check_choice('scores', scores, SCORES)
        self.weight, self.scores = weight, scores

    def terms(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """Losses of calling a class present, and absent; overridden."""
        # The bound of torch's binary_cross_entropy.
        return (
            -p.log().clamp_(min=-100.0),
            -(-p).log1p_().clamp_(min=-100.0),
        )

    def of_class(self, batch: MatchBatch) -> Tensor:
        """(B, M, N) loss of being of the class of a ground truth."""
        present, absent = self.terms(probabilities_of(batch, self.scores))
        background = absent.sum(2).unsqueeze(1)
        total = of_labels(present - absent, batch).add_(background)
        return total.mul_(self.weight)

    def of_background(self, batch: MatchBatch) -> Tensor:
        """(B, N) loss of being of no class."""
        _, absent = self.terms(probabilities_of(batch, self.scores))
        return self.weight * absent.sum(2)


class _Focal(_Binary):
    r"""Focal loss of each class, :math:`-\alpha (1 - p)^\gamma \log p`."""

    def __init__(
        self, *, alpha: float = 0.25, gamma: float = 2.0, **options: Any
    ) -> None:
        super().__init__(**options)
        self.alpha, self.gamma = alpha, gamma

    def terms(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`_Binary`."""
        present, absent = super().terms(p)
        present *= self.alpha * (1 - p).pow(self.gamma)
        absent *= (1 - self.alpha) * p.pow(self.gamma)
        return present, absent


class _ClassLoss(BatchedCost):
    """The loss as a match cost."""

    @property
    def span(self) -> Span:
        """See :class:`BatchedCost`; the losses of other classes are small."""
        least, greatest = self.terms(torch.tensor(_ORDINARY))[0].tolist()
        return Span(least * self.weight, greatest * self.weight, False)

    def of_batch(self, batch: MatchBatch) -> Tensor:
        """See :class:`BatchedCost`."""
        return self.of_class(batch)


class BatchedBackgroundCost:
    """What calling a prediction background costs.

    A subclass, registered in ``TASK_UTILS``, has one method.
    """

    def of_background(self, batch: MatchBatch) -> Tensor:
        """(B, N) cost in the unit of the match costs; padding anything."""
        raise NotImplementedError


@TASK_UTILS.register_module()
class BinaryClassCost(_Binary, _ClassLoss):
    """Binary cross-entropy if a prediction is of the class, summed over all.

    Args:
        weight (float): Factor. Defaults to 1.
        scores (str): What ``scores`` holds: ``'logits'``, or
            ``'probabilities'``, as YOLOX and TOOD give their assigners.
            Defaults to ``'logits'``.
    """


@TASK_UTILS.register_module()
class FocalClassCost(_Focal, _ClassLoss):
    """Focal loss if a prediction is of the class, summed over all classes.

    Args:
        alpha (float): Factor of the class; the others have 1 - alpha.
            Defaults to 0.25.
        gamma (float): Exponent. Defaults to 2.
        weight (float): Factor. Defaults to 1.
        scores (str): See :class:`BinaryClassCost`.
    """


@TASK_UTILS.register_module()
class BinaryBackgroundCost(_Binary, BatchedBackgroundCost):
    """Binary cross-entropy if a prediction is of no class.

    Args:
        weight (float): See :class:`BinaryClassCost`, as ``scores``.
    """


@TASK_UTILS.register_module()
class FocalBackgroundCost(_Focal, BatchedBackgroundCost):
    """Focal loss if a prediction is of no class.

    Args:
        alpha (float): See :class:`FocalClassCost`, as all others.
    """


@TASK_UTILS.register_module()
class PositionModulatedCost(_Focal, _ClassLoss):
    r"""Class cost of boxes that lie well, as in Stable-DINO.

    The cost of mmdet's ``FocalLossCost`` with :math:`p u^\beta` in place of
    the probability p, where :math:`u = (1 + \mathrm{GIoU}) / 2`, stretched so
    that the greatest of an image is 1.

    Source: Liu et al., "Detection Transformer with Stable Matching", ICCV
    2023, Sec. 3.3, with :math:`\beta = 0.5`, class weight 2.

    Args:
        beta (float): Exponent of the position. Defaults to 0.5.
        alpha (float): Factor of the class; the others have 1 - alpha.
            Defaults to 0.25.
        gamma (float): Exponent. Defaults to 2.
        weight (float): Factor. Defaults to 1.
        scores (str): ``'logits'`` or ``'probabilities'``. Defaults to
            ``'logits'``.
    """

    def __init__(self, *, beta: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        self.beta = beta

    @property
    def span(self) -> Span:
        """See :class:`BatchedCost`, that of mmdet's ``FocalLossCost``."""
        present, absent = self.terms(torch.tensor(_ORDINARY))
        least, greatest = (self.weight * (present - absent)).tolist()
        return Span(least, greatest, is_bound=False)

    def of_batch(self, batch: MatchBatch) -> Tensor:
        """See :class:`BatchedCost`."""
        p = of_labels(probabilities_of(batch, self.scores), batch)
        u = overlaps(batch, 'giou').add_(1).div_(2)
        real = batch.gt_valid().unsqueeze(2) & batch.pred_valid().unsqueeze(1)
        u = torch.where(real & u.isfinite(), u, 0.0)
        if u.numel():
            u /= u.amax((1, 2), keepdim=True).clamp(1e-8, 1.0)
        present, absent = self.terms(p * u.pow_(self.beta))
        return present.sub_(absent).mul_(self.weight)


@TASK_UTILS.register_module()
class SoftLabelCost(_Binary, _ClassLoss):
    r"""Class loss whose target is the IoU, as RTMDet's and GFL's.

    .. math::
        \sum_c |y_c - p_c|^\gamma \, \mathrm{BCE}(p_c, y_c), \qquad
        y_c = [c = c_j] \, \mathrm{IoU}(\hat b_i, b_j).

    Source: Lyu et al., "RTMDet", 2022, Sec. 3.3, with :math:`\gamma = 2`.

    Args:
        gamma (float): Exponent. Defaults to 2.
        weight (float): Factor. Defaults to 1.
        scores (str): See :class:`BinaryClassCost`.
    """

    def __init__(self, *, gamma: float = 2.0, **options: Any) -> None:
        super().__init__(**options)
        self.gamma = gamma

    def of_batch(self, batch: MatchBatch) -> Tensor:
        """See :class:`BatchedCost`."""
        p = probabilities_of(batch, self.scores)
        present, absent = self.terms(p)
        as_absent = absent * p.pow(self.gamma)
        others = as_absent.sum(2).unsqueeze(1) - of_labels(as_absent, batch)
        u = overlaps(batch, 'iou')
        entropy = u * of_labels(present - absent, batch)
        entropy += of_labels(absent, batch)
        distance = (u - of_labels(p, batch)).abs_().pow_(self.gamma)
        return entropy.mul_(distance).add_(others).mul_(self.weight)
