"""SSD's head on transport plans."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import SSDHead
from mmdet.registry import MODELS
from mmdet.utils import ConfigType, InstanceList, OptInstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from .._options import named_options
from ..assigners import match_batch
from ..inputs.bad_numbers import (
    BadNumberLog,
    describe_predictions,
    drop_bad_numbers,
    is_good,
)
from ..inputs.ground_truths import GroundTruths
from ..ot import TransportPlan, WeightedPairs
from .grid_anchors import GridAnchors, Inside

__all__ = ['UOTSSDHead']


@MODELS.register_module()
@named_options
class UOTSSDHead(SSDHead):
    """SSD head whose losses are weighted by a transport plan (Sec. 3.2).

    Takes everything that mmdet's ``SSDHead`` takes. With ``UOTAssigner`` or
    ``SinkhornAssigner`` the anchors of all images are matched in one solve;
    with a stock assigner (``MaxIoUAssigner``: the two-stage baseline) the
    losses are those of ``SSDHead``. Unlike that one, which lacks
    ``loss_cls``, it can also predict.

    Args:
        *args: Of ``SSDHead``.
        loss (dict, optional): Config of the loss, or what differs from the
            default: ``UOTMultiBoxLoss`` with ``neg_pos_ratio``,
            ``pos_weight`` and ``smoothl1_beta`` of ``train_cfg``.
        **kwargs: Of ``SSDHead``.
    """

    def __init__(
        self, *args, loss: ConfigType | None = None, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        # mmdet's predict_by_feat asks for it.
        self.loss_cls = None
        self.bad_number_log = BadNumberLog(describe_predictions)
        if self.train_cfg:
            self.loss_module = MODELS.build(_loss_of(self.train_cfg, loss))
            self.grid_anchors = GridAnchors(
                self.prior_generator, self.train_cfg['allowed_border']
            )

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
            cls_scores (list[Tensor]): Per level, (B, anchors * (C + 1), H, W).
            bbox_preds (list[Tensor]): Per level, (B, anchors * 4, H, W).
            batch_gt_instances (list[InstanceData]): Per image, ``bboxes``
                and ``labels``.
            batch_img_metas (list[dict]): Per image, with ``img_shape`` and
                ``pad_shape``.
            batch_gt_instances_ignore (list[InstanceData], optional): Per
                image, ignored ``bboxes``. Defaults to None.

        Returns:
            dict[str, list[Tensor]]: ``loss_cls`` and ``loss_bbox``, one
            entry per image.
        """
        device = cls_scores[0].device
        gts = GroundTruths.of(batch_gt_instances, batch_img_metas, device)
        labels = gts.labels(self.num_classes)
        sizes = [tuple(score.shape[-2:]) for score in cls_scores]
        anchors = self.grid_anchors.anchors(sizes, device)
        inside = [
            self.grid_anchors.inside(sizes, meta, device)
            for meta in batch_img_metas
        ]
        plan = self._match(anchors, inside, gts, batch_gt_instances_ignore)
        scores, deltas = drop_bad_numbers(
            _flatten_levels(cls_scores, self.cls_out_channels),
            _flatten_levels(bbox_preds, 4),
            self.bad_number_log,
            gts.names,
        )
        pairs = self.loss_module.box_pairs(plan)
        pred, target = self._boxes_of(pairs, deltas, anchors, gts.boxes)
        return self.loss_module(scores, labels, plan, pairs, pred, target)

    def _boxes_of(
        self,
        pairs: WeightedPairs,
        deltas: Tensor,
        anchors: Tensor,
        gt_boxes: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """(K, 4) predicted and target boxes of K pairs, or their encoding."""
        pred = deltas[pairs.image, pairs.prediction]
        prior = anchors[pairs.prediction]
        target = gt_boxes[pairs.image, pairs.ground_truth]
        if self.reg_decoded_bbox:
            pred = self.bbox_coder.decode(prior, pred)
        else:
            target = self.bbox_coder.encode(prior, target)
        # What cannot be regressed to is not: stock assigners match any box,
        # and a side of length zero has no logarithm.
        return pred, torch.where(is_good(target), target, pred.detach())

    def _match(
        self,
        anchors: Tensor,
        inside: list[Inside | None],
        gts: GroundTruths,
        batch_gt_instances_ignore: OptInstanceList,
    ) -> TransportPlan:
        everywhere = InstanceData(priors=anchors)
        preds = [
            everywhere
            if kept is None
            else InstanceData(
                metainfo=dict(out_of=len(anchors)),
                priors=kept.anchors,
                index=kept.index,
            )
            for kept in inside
        ]
        plan = match_batch(
            self.assigner, preds, gts, gts.metas, batch_gt_instances_ignore
        )
        if all(kept is None for kept in inside):
            return plan
        keep = torch.stack(
            [
                anchors.new_ones(len(anchors), dtype=torch.bool)
                if kept is None
                else kept.flags
                for kept in inside
            ]
        )
        return plan.spread(keep)


def _loss_of(train_cfg: ConfigType, loss: ConfigType | None) -> dict:
    pos_weight = train_cfg['pos_weight']
    default = dict(
        type='UOTMultiBoxLoss',
        loss_bbox=dict(type='SmoothL1Loss', beta=train_cfg['smoothl1_beta']),
        neg_pos_ratio=train_cfg['neg_pos_ratio'],
        pos_weight=pos_weight if pos_weight > 0 else 1.0,
    )
    loss = loss or {}
    if loss.get('type', default['type']) != default['type']:
        return loss
    return {**default, **loss}


def _flatten_levels(levels: list[Tensor], channels: int) -> Tensor:
    """Per level (B, anchors * channels, H, W) to (B, N, channels)."""
    return torch.cat(
        [
            level.permute(0, 2, 3, 1).reshape(len(level), -1, channels)
            for level in levels
        ],
        dim=1,
    )
