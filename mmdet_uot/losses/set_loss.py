"""The losses of DETR under a transport plan."""

from __future__ import annotations

from dataclasses import dataclass

from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from mmdet.utils import reduce_mean
from torch import Tensor, nn

from ..ot import TransportPlan
from .box_loss import box_loss, box_pairs
from .class_loss import class_loss

__all__ = ['SetLoss']


@dataclass(frozen=True)
class SetLoss:
    r"""Class, L1 and IoU loss of decoder layers (paper, Sec. 3.1).

    The class loss is divided by the foreground mass plus
    ``bg_cls_weight`` times the background mass, the box losses by the
    foreground mass, each at least 1 and over all images. Under a plan of
    zeros and ones these are the losses of mmdet's ``DETRHead``.

    Args:
        loss_cls (nn.Module): See :func:`check_class_loss`.
        loss_bbox (nn.Module): Of relative boxes, cxcywh.
        loss_iou (nn.Module): Of boxes in pixels, xyxy.
        bg_cls_weight (float): Factor of the background in the average.
        sync_cls_avg_factor (bool): Whether the average of the class loss is
            over all processes, as that of the box losses always is.
        min_mass (float): See :func:`box_pairs`.
    """

    loss_cls: nn.Module
    loss_bbox: nn.Module
    loss_iou: nn.Module
    bg_cls_weight: float
    sync_cls_avg_factor: bool
    min_mass: float

    def __call__(
        self,
        scores: Tensor,
        boxes: Tensor,
        plan: TransportPlan,
        labels: Tensor,
        gt_boxes: Tensor,
        image_sizes: Tensor,
    ) -> dict[str, Tensor]:
        """Computes the losses of each layer.

        Args:
            scores (Tensor): (L, B, N, C) logits.
            boxes (Tensor): (L, B, N, 4) boxes, cxcywh, relative.
            plan (TransportPlan): Weights (L * B, N, M + 1), layer by layer.
                Background weight of a prediction without mass counts in the
                class loss, but not in its average.
            labels (Tensor): (B, M) int64.
            gt_boxes (Tensor): (B, M, 4) boxes, xyxy in pixels.
            image_sizes (Tensor): (B, 1, 4) width, height, width, height.

        Returns:
            dict[str, Tensor]: ``loss_cls``, ``loss_bbox``, ``loss_iou``, (L,)
            each.
        """
        L, B = scores.shape[:2]
        foreground = plan.foreground_mass.view(L, B).sum(1)
        background = plan.background * (plan.pred_mass > 0)
        background = background.sum(1).view(L, B).sum(1)
        cls_average = foreground + self.bg_cls_weight * background
        if self.sync_cls_avg_factor:
            cls_average = reduce_mean(cls_average)
        box_average = reduce_mean(foreground).clamp(min=1)

        loss_cls = class_loss(
            self.loss_cls, scores.flatten(0, 1), plan, labels.repeat(L, 1)
        )
        losses = dict(
            loss_cls=loss_cls.view(L, B).sum(1) / cls_average.clamp(min=1)
        )
        pairs = box_pairs(plan, self.min_mass)
        layer, image = pairs.image // B, pairs.image % B
        relative = bbox_xyxy_to_cxcywh(gt_boxes / image_sizes)
        absolute = bbox_cxcywh_to_xyxy(boxes) * image_sizes
        for name, pred, target in (
            ('loss_bbox', boxes, relative),
            ('loss_iou', absolute, gt_boxes),
        ):
            loss = box_loss(
                getattr(self, name),
                pred[layer, image, pairs.prediction],
                target[image, pairs.ground_truth],
                pairs.mass,
                layer,
                L,
            )
            losses[name] = loss / box_average
        return losses
