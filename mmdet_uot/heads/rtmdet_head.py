"""RTMDet's head on transport plans."""

from __future__ import annotations

from mmdet.models.dense_heads import RTMDetHead, RTMDetSepBNHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps, distance2bbox
from mmdet.utils import InstanceList, OptInstanceList, reduce_mean
from torch import Tensor

from ..inputs.ground_truths import GroundTruths
from .anchor_matching import AnchorMatching
from .levels import sum_levels
from .matched import Matched

__all__ = ['UOTRTMDetHead', 'UOTRTMDetSepBNHead']


@MODELS.register_module()
class UOTRTMDetHead(AnchorMatching, RTMDetHead):
    """RTMDet's head whose losses are weighted by a transport plan.

    Takes everything that mmdet's ``RTMDetHead`` takes, and the options of
    :class:`AnchorMatching`. The score of each pair is to be its IoU, which
    weights its box loss, too. Both losses are divided by the mass times the
    IoU. With ``DynamicSoftLabelAssigner`` the losses are those of
    ``RTMDetHead``.
    """

    with_stride = True

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: OptInstanceList = None,
    ) -> dict[str, list[Tensor]]:
        """Matches the predictions and computes the weighted losses.

        Args:
            cls_scores (list[Tensor]): Per level, (B, C, H, W).
            bbox_preds (list[Tensor]): Per level, (B, 4, H, W) distances to
                the sides in pixels.
            batch_gt_instances (list[InstanceData]): Per image.
            batch_img_metas (list[dict]): Per image.
            batch_gt_instances_ignore (list[InstanceData], optional): Per
                image, ignored ``bboxes``. Defaults to None.

        Returns:
            dict[str, list[Tensor]]: ``loss_cls`` and ``loss_bbox``, one
            entry per level.
        """
        gts = GroundTruths.of(
            batch_gt_instances, batch_img_metas, cls_scores[0].device
        )
        scores, distances = self.flatten(cls_scores, bbox_preds, gts)
        sizes = [tuple(score.shape[-2:]) for score in cls_scores]
        points = self.grid_anchors.anchors(sizes, gts.device)
        boxes = distance2bbox(points, distances)
        plan, _, counts = self.match_anchors(
            cls_scores,
            gts,
            batch_gt_instances_ignore,
            scores=scores,
            bboxes=boxes,
        )
        matched = Matched.of(plan, gts, self.num_classes, self.min_mass)
        pred = matched.predicted(boxes)
        quality = bbox_overlaps(
            pred.detach(), matched.targets, is_aligned=True
        )
        average = reduce_mean((matched.pairs.mass * quality).sum())
        loss_cls = self.class_loss(matched, scores, quality)
        loss_bbox = matched.pair_loss(
            self.loss_bbox, pred, matched.targets, quality
        )
        average = average.clamp(min=1)
        return dict(
            loss_cls=sum_levels(loss_cls / average, counts),
            loss_bbox=sum_levels(loss_bbox / average, counts),
        )


@MODELS.register_module()
class UOTRTMDetSepBNHead(RTMDetSepBNHead, UOTRTMDetHead):
    """Its variant with BatchNorm per level, see :class:`UOTRTMDetHead`."""
