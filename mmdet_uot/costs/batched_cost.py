"""Match costs with one formula, for one image and for a batch."""

from __future__ import annotations

from typing import Any

from mmdet.models.task_modules.assigners.match_cost import (
    BaseMatchCost,
)
from mmengine.structures import InstanceData
from torch import Tensor

from ..inputs.from_instances import InstanceBatch
from ..inputs.match_batch import MatchBatch
from .span import Span

__all__ = ['BatchedCost']


class BatchedCost(BaseMatchCost):
    """A match cost that is computed for all images of a batch at once.

    A subclass gives the formula in :meth:`of_batch`, and in :attr:`span` the
    least and the greatest cost of ordinary pairs, which make the unit.
    """

    @property
    def span(self) -> Span:
        """Least and greatest cost of a pair."""
        raise NotImplementedError

    def of_batch(self, batch: MatchBatch) -> Tensor:
        """Computes the cost of a batch.

        Args:
            batch (MatchBatch): B images, at most N predictions and M ground
                truths each.

        Returns:
            Tensor: (B, M, N) cost, which may be overwritten; the padding
            holds anything finite.
        """
        raise NotImplementedError

    def __call__(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        img_meta: dict | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Computes the cost of one image.

        Args:
            pred_instances (InstanceData): With ``bboxes`` (N, 4), xyxy, or
                ``scores`` (N, C), logits.
            gt_instances (InstanceData): With ``bboxes`` (M, 4), xyxy, and
                ``labels`` (M,).
            img_meta (dict, optional): With ``img_shape``, if the cost needs
                it.
            **kwargs: Not used.

        Returns:
            Tensor: (N, M) cost.
        """
        batch = InstanceBatch(
            [pred_instances], [gt_instances], [img_meta or {}]
        )
        return self.of_batch(batch)[0].mT
