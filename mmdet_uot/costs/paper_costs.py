"""The paper's matching costs: non-negative, with the constants kept."""

from __future__ import annotations

from mmdet.models.task_modules.assigners.match_cost import (
    BaseMatchCost,
)
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor

__all__ = ['OneMinusIoUCost', 'OneMinusProbCost']


@TASK_UTILS.register_module()
class OneMinusIoUCost(BaseMatchCost):
    r"""Box cost :math:`w (1 - \mathrm{IoU}(\hat b_i, b_j))` (Sec. 3).

    Unlike mmdet's ``IoUCost`` it keeps the constant. Off the balanced case
    and beside a background cost the constant matters.

    Args:
        iou_mode (str): ``'iou'``, costs in [0, w], or ``'giou'``, costs in
            [0, 2w]. Defaults to ``'iou'``.
        weight (float): Weight w. Defaults to 1.

    Raises:
        ValueError: If ``iou_mode`` is unknown.
    """

    def __init__(self, iou_mode: str = 'iou', weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        if iou_mode not in ('iou', 'giou'):
            raise ValueError(
                f"iou_mode must be 'iou' or 'giou', got {iou_mode!r}"
            )
        self.iou_mode = iou_mode

    def __call__(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        img_meta: dict | None = None,
        **kwargs,
    ) -> Tensor:
        """Computes the cost of one image.

        Args:
            pred_instances (InstanceData): With ``bboxes`` (N, 4), xyxy.
            gt_instances (InstanceData): With ``bboxes`` (M, 4), xyxy, in the
                same unit.
            img_meta (dict, optional): Not used.
            **kwargs: Not used.

        Returns:
            Tensor: (N, M) cost.
        """
        overlaps = bbox_overlaps(
            pred_instances.bboxes, gt_instances.bboxes, mode=self.iou_mode
        )
        return self.weight * (1 - overlaps)


@TASK_UTILS.register_module()
class OneMinusProbCost(BaseMatchCost):
    r"""Class cost :math:`w (1 - \langle \hat c_i, c_j \rangle)` (Sec. 3.1).

    Args:
        use_sigmoid (bool): Whether the scores are logits of independent
            classes (Deformable DETR and later) rather than of a softmax
            with background as the last class (DETR). Defaults to False.
        weight (float): Weight w, the paper's lambda_prob. Defaults to 1.
    """

    def __init__(self, use_sigmoid: bool = False, weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        self.use_sigmoid = use_sigmoid

    def probabilities(self, scores: Tensor) -> Tensor:
        """(..., C) probabilities of (..., C) logits."""
        return scores.sigmoid() if self.use_sigmoid else scores.softmax(-1)

    def __call__(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        img_meta: dict | None = None,
        **kwargs,
    ) -> Tensor:
        """Computes the cost of one image.

        Args:
            pred_instances (InstanceData): With ``scores`` (N, C), logits.
            gt_instances (InstanceData): With ``labels`` (M,).
            img_meta (dict, optional): Not used.
            **kwargs: Not used.

        Returns:
            Tensor: (N, M) cost.
        """
        probabilities = self.probabilities(pred_instances.scores)
        return self.weight * (1 - probabilities[:, gt_instances.labels])
