"""A matched batch, as the losses of dense heads need it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..inputs.bad_numbers import is_good
from ..inputs.ground_truths import GroundTruths
from ..losses import box_loss, box_pairs, pair_class_loss
from ..ot import TransportPlan, WeightedPairs

__all__ = ['Matched']


@dataclass(frozen=True)
class Matched:
    """A plan with the pairs that count, and what they are to predict.

    Attributes:
        plan (TransportPlan): Weights (B, N, M + 1).
        pairs (WeightedPairs): Its K pairs.
        labels (Tensor): (B, M) int64.
        gt_boxes (Tensor): (B, M, 4) boxes, xyxy in pixels.
    """

    plan: TransportPlan
    pairs: WeightedPairs
    labels: Tensor
    gt_boxes: Tensor

    @classmethod
    def of(
        cls,
        plan: TransportPlan,
        gts: GroundTruths,
        num_classes: int,
        min_mass: float,
    ) -> Matched:
        """Takes the pairs of a plan, see :func:`box_pairs`."""
        pairs = box_pairs(plan, min_mass)
        return cls(plan, pairs, gts.labels(num_classes), gts.boxes)

    @property
    def targets(self) -> Tensor:
        """(K, 4) boxes of the ground truths, xyxy in pixels."""
        return self.gt_boxes[self.pairs.image, self.pairs.ground_truth]

    def predicted(self, values: Tensor) -> Tensor:
        """(K, ...) what the pairs' predictions have of (B, N, ...)."""
        return values[self.pairs.image, self.pairs.prediction]

    def class_loss(
        self,
        loss: nn.Module,
        scores: Tensor,
        background: int,
        *,
        quality: Tensor | None = None,
        pos_weight: float = 1.0,
    ) -> Tensor:
        """(B, N) class losses, see :func:`pair_class_loss`."""
        pairs = self.pairs._replace(mass=self.pairs.mass * pos_weight)
        return pair_class_loss(
            loss, scores, self.plan, pairs, self.labels, background, quality
        )

    def pair_loss(
        self,
        loss: nn.Module,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Any other loss of the pairs, weighted by their mass.

        Args:
            loss (nn.Module): One that takes ``weight`` and
                ``reduction_override``.
            pred (Tensor): (K, ...) predictions.
            target (Tensor): (K, ...) targets. Where they are no numbers,
                nothing is learnt.
            weight (Tensor, optional): (K,) more weights. Defaults to 1.

        Returns:
            Tensor: (B, N), not averaged.
        """
        B, N = self.plan.pred_mass.shape
        mass = self.pairs.mass if weight is None else self.pairs.mass * weight
        target = torch.where(is_good(target), target, pred.detach())
        return box_loss(loss, pred, target, mass, self._row, B * N).view(B, N)

    def per_prediction(self, values: Tensor) -> Tensor:
        """(B, N) sums of what pairs have, (K,), over a prediction's."""
        B, N = self.plan.pred_mass.shape
        total = values.new_zeros(B * N).index_add(0, self._row, values)
        return total.view(B, N)

    @property
    def _row(self) -> Tensor:
        """(K,) index of a pair's prediction among those of all images."""
        N = self.plan.pred_mass.shape[1]
        return self.pairs.prediction.add(self.pairs.image, alpha=N)
