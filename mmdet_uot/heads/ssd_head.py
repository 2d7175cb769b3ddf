"""SSD's head on transport plans."""

from __future__ import annotations

from mmdet.models.dense_heads import SSDHead
from mmdet.registry import MODELS
from mmdet.utils import ConfigType, InstanceList, OptInstanceList
from torch import Tensor

from .._options import named_options
from ..inputs.bad_numbers import (
    BadNumberLog,
    describe_predictions,
    drop_bad_numbers,
)
from ..inputs.ground_truths import GroundTruths
from .grid_anchors import GridAnchors
from .levels import boxes_of_pairs, flatten_levels

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
        plan = self.grid_anchors.match(
            self.assigner, sizes, gts, batch_gt_instances_ignore
        )
        scores, deltas = drop_bad_numbers(
            flatten_levels(cls_scores, self.cls_out_channels),
            flatten_levels(bbox_preds, 4),
            self.bad_number_log,
            gts.names,
        )
        pairs = self.loss_module.box_pairs(plan)
        anchors = self.grid_anchors.anchors(sizes, device)
        pred, target = boxes_of_pairs(self, pairs, deltas, anchors, gts.boxes)
        return self.loss_module(scores, labels, plan, pairs, pred, target)


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
