"""VFNet's head on transport plans."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import VFNetHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmdet.utils import InstanceList, OptInstanceList, reduce_mean
from torch import Tensor

from ..inputs.ground_truths import GroundTruths
from .anchor_matching import AnchorMatching
from .grid_anchors import GridAnchors
from .matched import Matched

__all__ = ['UOTVFNetHead']


@MODELS.register_module()
class UOTVFNetHead(AnchorMatching, VFNetHead):
    """VFNet's head whose losses are weighted by a transport plan.

    Takes everything that mmdet's ``VFNetHead`` takes, and the options of
    :class:`AnchorMatching`. The score of each pair is to be the IoU of its
    refined box. Both box losses of a pair are weighted by the IoU of the box,
    too. With ``ATSSAssigner`` the losses are those of ``VFNetHead``, and with
    ``use_atss=False``, where there is no assigner, as well.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.train_cfg:
            # The points of FCOS are those of the boxes alone.
            self.grid_anchors = GridAnchors(
                self.atss_prior_generator, self.train_cfg['allowed_border']
            )

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        bbox_preds_refine: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: OptInstanceList = None,
    ) -> dict[str, Tensor]:
        """Matches the anchors and computes the weighted losses.

        Args:
            cls_scores (list[Tensor]): Per level, (B, C, H, W).
            bbox_preds (list[Tensor]): Per level, (B, 4, H, W).
            bbox_preds_refine (list[Tensor]): Per level, (B, 4, H, W).
            batch_gt_instances (list[InstanceData]): Per image.
            batch_img_metas (list[dict]): Per image.
            batch_gt_instances_ignore (list[InstanceData], optional): Per
                image, ignored ``bboxes``. Defaults to None.

        Returns:
            dict[str, Tensor]: ``loss_cls``, ``loss_bbox``, ``loss_bbox_rf``.
        """
        if not self.use_atss:
            return super().loss_by_feat(
                cls_scores,
                bbox_preds,
                bbox_preds_refine,
                batch_gt_instances,
                batch_img_metas,
                batch_gt_instances_ignore,
            )
        gts = GroundTruths.of(
            batch_gt_instances, batch_img_metas, cls_scores[0].device
        )
        plan, _, _ = self.match_anchors(
            cls_scores, gts, batch_gt_instances_ignore
        )
        average = plan.foreground_mass.sum()
        if self.sync_num_pos:
            average = reduce_mean(average).clamp(min=1)
        both = [torch.cat(x, 1) for x in zip(bbox_preds, bbox_preds_refine)]
        scores, both = self.flatten(cls_scores, both, gts)
        deltas, refined = both.split(4, 2)
        matched = Matched.of(plan, gts, self.num_classes, self.min_mass)
        points = self.fcos_prior_generator.grid_priors(
            [tuple(score.shape[-2:]) for score in cls_scores],
            deltas.dtype,
            deltas.device,
        )
        points = torch.cat(points)[matched.pairs.prediction]
        losses = {}
        for name, loss, values in (
            ('loss_bbox', self.loss_bbox, deltas),
            ('loss_bbox_rf', self.loss_bbox_refine, refined),
        ):
            boxes = self.bbox_coder.decode(points, matched.predicted(values))
            quality = bbox_overlaps(
                boxes.detach(), matched.targets, is_aligned=True
            ).clamp(min=1e-6)
            mass = reduce_mean((matched.pairs.mass * quality).sum())
            loss = matched.pair_loss(loss, boxes, matched.targets, quality)
            losses[name] = loss.sum() / mass.clamp(min=1)
        loss_cls = self.class_loss(
            matched, scores, quality if self.use_vfl else None
        ).sum()
        if self.use_vfl and not hasattr(self.assigner, 'match'):
            # What a stock assigner ignores is background in the stock head.
            ignored = scores[plan.pred_mass == 0]
            loss_cls = loss_cls + self.loss_cls(
                ignored, torch.zeros_like(ignored), reduction_override='sum'
            )
        return dict(loss_cls=loss_cls / average, **losses)
