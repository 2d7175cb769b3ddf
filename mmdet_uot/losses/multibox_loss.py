"""The loss of SSD under a transport plan."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn

from .._options import named_options
from ..ot import SparsePlan, TransportPlan, WeightedPairs
from .box_loss import box_loss, box_pairs
from .class_loss import background_cross_entropy, cross_entropy
from .hard_negatives import mine_hard_negatives
from .rows import rows_of

__all__ = ['UOTMultiBoxLoss']


@MODELS.register_module()
@named_options
class UOTMultiBoxLoss(nn.Module):
    r"""Cross-entropy and box loss weighted by the plan (paper, Sec. 3.2).

    .. math::
        \frac{N}{A} \Bigl( w \sum_{ij} P_{ij} \mathrm{CE}(\hat c_i, c_j)
        + \sum_{i \in \mathcal{H}} P_{i \emptyset}
          \mathrm{CE}(\hat c_i, \emptyset)
        + \sum_{ij} P_{ij} \mathcal{L}_{box}(\hat b_i, b_j) \Bigr)

    over the hard negatives :math:`\mathcal{H}`, with w the ``pos_weight`` and
    A the foreground mass, at least 1, summed over the images. Under a plan of
    zeros and ones this is the loss of mmdet's ``SSDHead``.

    Args:
        loss_bbox (dict): Config of a box loss that takes per-pair weights.
            Defaults to ``SmoothL1Loss``.
        neg_pos_ratio (float): Background mass per foreground mass that hard
            negative mining keeps. Defaults to 3.
        pos_weight (float): Weight of the ground truths in the class loss.
            Defaults to 1.
        min_mass (float): Which pairs are left out of the box loss, see
            :func:`box_pairs`. Defaults to 0.01.
    """

    def __init__(
        self,
        *,
        loss_bbox: dict | None = None,
        neg_pos_ratio: float = 3.0,
        pos_weight: float = 1.0,
        min_mass: float = 0.01,
    ) -> None:
        super().__init__()
        self.loss_bbox = MODELS.build(loss_bbox or dict(type='SmoothL1Loss'))
        self.neg_pos_ratio = neg_pos_ratio
        self.pos_weight = pos_weight
        self.min_mass = min_mass

    def box_pairs(self, plan: TransportPlan) -> WeightedPairs:
        """The pairs whose boxes :meth:`forward` asks for."""
        return box_pairs(plan, self.min_mass)

    def forward(
        self,
        scores: Tensor,
        labels: Tensor,
        plan: TransportPlan,
        pairs: WeightedPairs,
        pred: Tensor,
        target: Tensor,
    ) -> dict[str, list[Tensor]]:
        """Computes the losses of each image.

        Args:
            scores (Tensor): (B, N, C + 1) logits, background last.
            labels (Tensor): (B, M) int64 labels of the ground truths.
            plan (TransportPlan): Weights (B, N, M + 1).
            pairs (WeightedPairs): The K of :meth:`box_pairs`.
            pred (Tensor): (K, 4) their predicted boxes (or their encoding).
            target (Tensor): (K, 4) their target boxes.

        Returns:
            dict[str, list[Tensor]]: ``loss_cls``, (1,) each, and
            ``loss_bbox``, one entry per image, as ``SSDHead`` returns them.
        """
        foreground = plan.foreground_mass
        average = foreground.clamp(min=1).sum()

        is_sparse = isinstance(plan, SparsePlan)
        of_class = self._of_pairs if is_sparse else self._of_all
        loss_cls = of_class(scores, labels, plan)
        loss_bbox = box_loss(
            self.loss_bbox,
            pred,
            target,
            pairs.mass,
            pairs.image,
            len(plan.pred_mass),
        )
        return dict(
            loss_cls=list((loss_cls / average).split(1)),
            loss_bbox=list((loss_bbox / average).unbind()),
        )

    def _of_all(
        self, scores: Tensor, labels: Tensor, plan: TransportPlan
    ) -> Tensor:
        """(B,) class losses, from the probabilities of all predictions."""
        positive, background = cross_entropy(scores, plan, labels)
        hard = mine_hard_negatives(background, plan, self.neg_pos_ratio)
        negative = background * plan.background * hard
        return self.pos_weight * positive.sum(1) + negative.sum(1)

    def _of_pairs(
        self, scores: Tensor, labels: Tensor, plan: TransportPlan
    ) -> Tensor:
        """The same, with a gradient of those that count alone."""
        background = background_cross_entropy(scores)
        hard = mine_hard_negatives(background, plan, self.neg_pos_ratio)
        pairs, (image, prediction) = plan.pairs(), hard.nonzero().unbind(1)
        empty = labels.new_full(image.shape, scores.shape[-1] - 1)
        label = torch.cat((labels[pairs.image, pairs.ground_truth], empty))
        mass = torch.cat(
            (self.pos_weight * pairs.mass, plan.background[image, prediction])
        )
        image = torch.cat((pairs.image, image))
        prediction = torch.cat((pairs.prediction, prediction))
        rows = rows_of(scores, image, prediction).float()
        loss = mass * F.cross_entropy(rows, label, reduction='none')
        # NaN where a training has diverged, with or without objects.
        nothing = 0.0 * background.sum(1)
        return nothing.to(loss).index_add(0, image, loss)
