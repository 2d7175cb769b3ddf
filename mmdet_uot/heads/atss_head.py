"""ATSS's and GFL's heads on transport plans."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import ATSSHead, GFLHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmdet.utils import InstanceList, OptInstanceList, reduce_mean
from torch import Tensor

from .._options import named_options
from ..inputs.ground_truths import GroundTruths
from .anchor_matching import AnchorMatching, centreness
from .levels import flatten_levels, sum_levels
from .matched import Matched

__all__ = ['UOTATSSHead', 'UOTGFLHead']


@MODELS.register_module()
@named_options
class UOTATSSHead(AnchorMatching, ATSSHead):
    """ATSS's head whose losses are weighted by a transport plan.

    Takes everything that mmdet's ``ATSSHead`` takes, and the options of
    :class:`AnchorMatching`. The box loss of a pair is weighted by its
    centre-ness, too, which is zero where the anchor's centre lies outside of
    the ground truth. With ``ATSSAssigner`` the losses are those of
    ``ATSSHead``.

    Args:
        *args: Of ``ATSSHead``.
        match_predictions (bool): Whether the match costs see the predicted
            boxes and scores rather than the anchors, as SimOTA, OTA and TAL
            do. Defaults to False.
        **kwargs: Of ``ATSSHead`` and :class:`AnchorMatching`.
    """

    def __init__(
        self, *args, match_predictions: bool = False, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.match_predictions = match_predictions

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        centernesses: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: OptInstanceList = None,
    ) -> dict[str, list[Tensor]]:
        """Matches the anchors and computes the weighted losses.

        Args:
            cls_scores (list[Tensor]): Per level, (B, anchors * C, H, W).
            bbox_preds (list[Tensor]): Per level, (B, anchors * 4, H, W).
            centernesses (list[Tensor]): Per level, (B, anchors, H, W).
            batch_gt_instances (list[InstanceData]): Per image.
            batch_img_metas (list[dict]): Per image.
            batch_gt_instances_ignore (list[InstanceData], optional): Per
                image, ignored ``bboxes``. Defaults to None.

        Returns:
            dict[str, list[Tensor]]: ``loss_cls``, ``loss_bbox`` and
            ``loss_centerness``, one entry per level.
        """
        gts = GroundTruths.of(
            batch_gt_instances, batch_img_metas, cls_scores[0].device
        )
        scores, deltas = self.flatten(cls_scores, bbox_preds, gts)
        seen = {}
        if self.match_predictions:
            seen = dict(scores=scores, bboxes=self._boxes(cls_scores, deltas))
        plan, anchors, counts = self.match_anchors(
            cls_scores, gts, batch_gt_instances_ignore, **seen
        )
        average = reduce_mean(plan.foreground_mass.clamp(min=1).sum())
        matched = Matched.of(plan, gts, self.num_classes, self.min_mass)
        loss_cls = self.class_loss(matched, scores)
        prior, target = anchors[matched.pairs.prediction], matched.targets
        central = centreness((prior[:, :2] + prior[:, 2:]) / 2, target)
        loss_bbox = matched.pair_loss(
            self.loss_bbox,
            self.bbox_coder.decode(prior, matched.predicted(deltas)),
            target,
            central,
        )
        loss_centerness = matched.pair_loss(
            self.loss_centerness,
            matched.predicted(flatten_levels(centernesses, 1)),
            central.unsqueeze(1),
        )
        mass = reduce_mean((matched.pairs.mass * central).sum()).clamp(min=1)
        return dict(
            loss_cls=sum_levels(loss_cls / average, counts),
            loss_bbox=sum_levels(loss_bbox / mass, counts),
            loss_centerness=sum_levels(loss_centerness / average, counts),
        )

    def _boxes(self, cls_scores: list[Tensor], deltas: Tensor) -> Tensor:
        """(B, N, 4) predicted boxes, xyxy in pixels."""
        sizes = [tuple(score.shape[-2:]) for score in cls_scores]
        anchors = self.grid_anchors.anchors(sizes, deltas.device)
        return self.bbox_coder.decode(
            anchors.repeat(len(deltas), 1), deltas.detach().flatten(0, 1)
        ).view_as(deltas)


@MODELS.register_module()
class UOTGFLHead(AnchorMatching, GFLHead):
    """GFL's head whose losses are weighted by a transport plan.

    Takes everything that mmdet's ``GFLHead`` takes, and the options of
    :class:`AnchorMatching`. The score of each pair is to be its IoU. Box and
    distribution loss of a pair are weighted by the greatest score of the
    prediction, too. With ``ATSSAssigner`` the losses are those of
    ``GFLHead``.
    """

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: OptInstanceList = None,
    ) -> dict[str, list[Tensor]]:
        """Matches the anchors and computes the weighted losses.

        Args:
            cls_scores (list[Tensor]): Per level, (B, C, H, W).
            bbox_preds (list[Tensor]): Per level, (B, 4 * bins, H, W).
            batch_gt_instances (list[InstanceData]): Per image.
            batch_img_metas (list[dict]): Per image.
            batch_gt_instances_ignore (list[InstanceData], optional): Per
                image, ignored ``bboxes``. Defaults to None.

        Returns:
            dict[str, list[Tensor]]: ``loss_cls``, ``loss_bbox`` and
            ``loss_dfl``, one entry per level.
        """
        gts = GroundTruths.of(
            batch_gt_instances, batch_img_metas, cls_scores[0].device
        )
        plan, anchors, counts = self.match_anchors(
            cls_scores, gts, batch_gt_instances_ignore
        )
        average = reduce_mean(plan.foreground_mass.clamp(min=1).sum())
        scores, bins = self.flatten(cls_scores, bbox_preds, gts)
        matched = Matched.of(plan, gts, self.num_classes, self.min_mass)

        # Boxes are regressed in units of the stride.
        strides = torch.cat(
            [
                anchors.new_full((count, 1), stride[0])
                for count, stride in zip(counts, self.prior_generator.strides)
            ]
        )[matched.pairs.prediction]
        centre = self.anchor_center(anchors[matched.pairs.prediction])
        target = matched.targets / strides
        corners = matched.predicted(bins)
        boxes = self.bbox_coder.decode(
            centre / strides, self.integral(corners)
        )
        quality = bbox_overlaps(boxes.detach(), target, is_aligned=True)
        confidence = matched.predicted(scores.detach()).sigmoid().amax(1)
        loss_cls = self.class_loss(matched, scores, quality)
        loss_bbox = matched.pair_loss(
            self.loss_bbox, boxes, target, confidence
        )
        mass = matched.pairs.mass * confidence
        distance = self.bbox_coder.encode(
            centre / strides, target, self.reg_max
        )
        of_sides = self.loss_dfl(
            corners.reshape(-1, self.reg_max + 1),
            distance.reshape(-1),
            mass.repeat_interleave(4),
            reduction_override='none',
        )
        loss_dfl = matched.per_prediction(of_sides.view(-1, 4).mean(1))
        mass = reduce_mean(mass.sum()).clamp(min=1)
        return dict(
            loss_cls=sum_levels(loss_cls / average, counts),
            loss_bbox=sum_levels(loss_bbox / mass, counts),
            loss_dfl=sum_levels(loss_dfl / mass, counts),
        )
