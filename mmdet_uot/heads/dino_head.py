"""DINO's head on transport plans."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import DINOHead
from mmdet.registry import MODELS
from mmdet.utils import InstanceList, OptInstanceList
from torch import Tensor

from ..inputs.bad_numbers import drop_bad_numbers, is_good
from ..inputs.ground_truths import GroundTruths
from ..inputs.instances import image_names
from .detr_head import UOTDETRHead

__all__ = ['UOTDINOHead']


@MODELS.register_module()
class UOTDINOHead(DINOHead, UOTDETRHead):
    """DINO's head on transport plans, see :class:`UOTDETRHead`.

    The denoising queries keep their fixed ground truths. Mind that mmdet
    makes them from the ground truths' boxes before the head is asked: boxes
    that are not finite must not reach it.
    """

    def loss_by_feat(
        self,
        all_layers_cls_scores: Tensor,
        all_layers_bbox_preds: Tensor,
        enc_cls_scores: Tensor | None,
        enc_bbox_preds: Tensor | None,
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        dn_meta: dict[str, int],
        batch_gt_instances_ignore: OptInstanceList = None,
    ) -> dict[str, Tensor]:
        """As ``DINOHead`` does; decoder and proposals share ground truths."""
        gts = GroundTruths.of(
            batch_gt_instances, batch_img_metas, all_layers_cls_scores.device
        )
        return super().loss_by_feat(
            all_layers_cls_scores,
            all_layers_bbox_preds,
            enc_cls_scores,
            enc_bbox_preds,
            gts,
            batch_img_metas,
            dn_meta,
            batch_gt_instances_ignore,
        )

    def loss_dn(
        self,
        scores: Tensor,
        boxes: Tensor,
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        dn_meta: dict[str, int],
    ) -> tuple[list[Tensor], ...]:
        """Losses of the denoising queries, without their bad numbers.

        Args:
            scores (Tensor): (L, B, N, C) logits.
            boxes (Tensor): (L, B, N, 4) boxes, cxcywh, relative.
            batch_gt_instances (list[InstanceData]): Per image.
            batch_img_metas (list[dict]): Per image.
            dn_meta (dict[str, int]): Of the denoising queries.

        Returns:
            tuple[list[Tensor], ...]: Class, L1 and IoU losses of each layer.
        """
        scores, boxes = drop_bad_numbers(
            scores,
            boxes,
            self.bad_number_log,
            image_names(batch_img_metas),
            axis=1,
        )
        return super().loss_dn(
            scores, boxes, batch_gt_instances, batch_img_metas, dn_meta
        )

    def _get_dn_targets_single(self, *args, **kwargs) -> tuple:
        labels, label_weights, targets, weights, pos, neg = (
            super()._get_dn_targets_single(*args, **kwargs)
        )
        good = is_good(targets).all(1, keepdim=True)
        return (
            labels,
            label_weights * good.squeeze(1),
            torch.where(good, targets, 0.0),
            weights * good,
            pos,
            neg,
        )
