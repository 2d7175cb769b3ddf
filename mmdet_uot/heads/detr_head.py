"""DETR's head, and those derived from it, on transport plans."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import (
    ConditionalDETRHead,
    DABDETRHead,
    DeformableDETRHead,
    DETRHead,
)
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmdet.utils import ConfigType, InstanceList, OptInstanceList
from torch import Tensor

from .._options import named_options
from ..assigners import match_layers
from ..costs import OneMinusProbCost
from ..inputs.bad_numbers import (
    BadNumberLog,
    describe_predictions,
    drop_bad_numbers,
)
from ..inputs.ground_truths import GroundTruths
from ..losses import SetLoss, check_class_loss
from ..ot import TransportPlan
from .ignored_boxes import keeps_ignored

__all__ = [
    'UOTConditionalDETRHead',
    'UOTDABDETRHead',
    'UOTDETRHead',
    'UOTDeformableDETRHead',
]

_CROSS_ENTROPY = dict(
    type='CrossEntropyLoss',
    bg_cls_weight=0.1,
    use_sigmoid=False,
    loss_weight=1.0,
    class_weight=1.0,
)


@MODELS.register_module()
@named_options
class UOTDETRHead(DETRHead):
    """DETR head whose losses are weighted by a transport plan (Sec. 3.1).

    Takes everything that mmdet's ``DETRHead`` takes. All decoder layers of
    all images are matched in one solve. With ``HungarianAssigner``, or any
    other stock assigner, the losses are those of the stock head.

    A head derived from DETR's becomes one on plans by inheriting from both,
    the stock head first: its own losses go on calling ours.

    Args:
        num_classes (int): Number of classes without the background.
        *args: Of ``DETRHead``.
        loss_cls (dict): ``CrossEntropyLoss`` with softmax, where
            ``bg_cls_weight`` is the factor of the background, or
            ``FocalLoss``. Defaults to that of ``DETRHead``.
        min_mass (float): Which pairs are left out of the box loss, see
            :func:`box_pairs`. Defaults to 0.01.
        **kwargs: Of ``DETRHead``.

    Raises:
        TypeError: If the class loss cannot be weighted by pairs, or a base
            class computes the matched losses itself.
    """

    def __init__(
        self,
        num_classes: int,
        *args,
        loss_cls: ConfigType = _CROSS_ENTROPY,
        min_mass: float = 0.01,
        **kwargs,
    ) -> None:
        # DETRHead does this for itself alone, not for derived classes.
        loss_cls, bg_cls_weight = _expand_class_weight(loss_cls, num_classes)
        super().__init__(num_classes, *args, loss_cls=loss_cls, **kwargs)
        self.bg_cls_weight = bg_cls_weight
        self.min_mass = min_mass
        self.bad_number_log = BadNumberLog(describe_predictions)
        check_class_loss(self.loss_cls)
        self._check_class_cost()
        single = type(self).loss_by_feat_single
        if single is not UOTDETRHead.loss_by_feat_single:
            raise TypeError(
                f'{type(self).__name__}: {single.__qualname__} computes the '
                'matched losses itself, so transport plans would not be '
                'used; this head is not supported'
            )

    def _check_class_cost(self) -> None:
        """Raises ValueError if matching and loss read the scores otherwise."""
        assigner = getattr(self, 'assigner', None)
        for cost in getattr(assigner, 'match_costs', ()):
            if not isinstance(cost, OneMinusProbCost):
                continue
            if cost.use_sigmoid != self.loss_cls.use_sigmoid:
                raise ValueError(
                    f'OneMinusProbCost has use_sigmoid={cost.use_sigmoid}, '
                    f'but loss_cls {type(self.loss_cls).__name__} has '
                    f'use_sigmoid={self.loss_cls.use_sigmoid}; set that of '
                    'the cost to it'
                )

    def __init_subclass__(cls, **kwargs) -> None:
        # The methods of a stock head come before ours.
        super().__init_subclass__(**kwargs)
        for name in ('loss', 'loss_and_predict', 'loss_by_feat'):
            setattr(cls, name, keeps_ignored(getattr(cls, name)))

    loss = keeps_ignored(DETRHead.loss)
    loss_and_predict = keeps_ignored(DETRHead.loss_and_predict)

    @keeps_ignored
    def loss_by_feat(
        self,
        all_layers_cls_scores: Tensor,
        all_layers_bbox_preds: Tensor,
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: OptInstanceList = None,
    ) -> dict[str, Tensor]:
        """Matches all decoder layers and computes the weighted losses.

        Args:
            all_layers_cls_scores (Tensor): (L, B, N, C) logits.
            all_layers_bbox_preds (Tensor): (L, B, N, 4) boxes, cxcywh,
                relative to the image.
            batch_gt_instances (list[InstanceData]): Per image, ``bboxes``
                and ``labels``.
            batch_img_metas (list[dict]): Per image, with ``img_shape``.
            batch_gt_instances_ignore (list[InstanceData], optional): Per
                image, ignored ``bboxes``. Defaults to None.

        Returns:
            dict[str, Tensor]: ``loss_cls``, ``loss_bbox`` and ``loss_iou`` of
            the last layer, ``d0.loss_cls`` and so on of the others.
        """
        losses = self._losses_of_layers(
            all_layers_cls_scores,
            all_layers_bbox_preds,
            batch_gt_instances,
            batch_img_metas,
        )
        last = len(all_layers_cls_scores) - 1
        return {
            name if layer == last else f'd{layer}.{name}': values[layer]
            for layer in (last, *range(last))
            for name, values in losses.items()
        }

    def loss_by_feat_single(
        self,
        cls_scores: Tensor,
        bbox_preds: Tensor,
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Losses of one layer; stock heads ask so for encoder proposals.

        Args:
            cls_scores (Tensor): (B, N, C) logits.
            bbox_preds (Tensor): (B, N, 4) boxes, cxcywh, relative.
            batch_gt_instances (list[InstanceData]): Per image.
            batch_img_metas (list[dict]): Per image.

        Returns:
            tuple[Tensor, Tensor, Tensor]: Class, L1 and IoU loss.
        """
        losses = self._losses_of_layers(
            cls_scores.unsqueeze(0),
            bbox_preds.unsqueeze(0),
            batch_gt_instances,
            batch_img_metas,
        )
        return tuple(values[0] for values in losses.values())

    def _losses_of_layers(
        self,
        scores: Tensor,
        boxes: Tensor,
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
    ) -> dict[str, Tensor]:
        """``loss_cls``, ``loss_bbox``, ``loss_iou``, (L,) each."""
        gts = GroundTruths.of(
            batch_gt_instances, batch_img_metas, scores.device
        )
        labels = gts.labels(self.num_classes)
        # Half precision would round coordinates to whole pixels.
        boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32))
        plan = match_layers(
            self.assigner,
            scores,
            bbox_cxcywh_to_xyxy(boxes.detach())
            * gts.image_sizes.to(boxes.dtype),
            gts,
            batch_img_metas,
        )
        return self._losses_of_plan(plan, scores, boxes, gts, labels)

    def _losses_of_plan(
        self,
        plan: TransportPlan,
        scores: Tensor,
        boxes: Tensor,
        gts: GroundTruths,
        labels: Tensor,
    ) -> dict[str, Tensor]:
        """``loss_cls``, ``loss_bbox``, ``loss_iou``, (L,) each."""
        scores, boxes = drop_bad_numbers(
            scores, boxes, self.bad_number_log, gts.names, axis=1
        )
        loss = SetLoss(
            self.loss_cls,
            self.loss_bbox,
            self.loss_iou,
            self.bg_cls_weight,
            self.sync_cls_avg_factor,
            self.min_mass,
        )
        sizes = gts.image_sizes.to(boxes.dtype)
        return loss(scores, boxes, plan, labels, gts.boxes, sizes)


@MODELS.register_module()
class UOTConditionalDETRHead(ConditionalDETRHead, UOTDETRHead):
    """Conditional DETR's head on transport plans, see :class:`UOTDETRHead`."""


@MODELS.register_module()
class UOTDABDETRHead(DABDETRHead, UOTDETRHead):
    """DAB-DETR's head on transport plans, see :class:`UOTDETRHead`."""


@MODELS.register_module()
class UOTDeformableDETRHead(DeformableDETRHead, UOTDETRHead):
    """Deformable DETR's head on plans, see :class:`UOTDETRHead`.

    Decoder layers are matched in one solve, encoder proposals in another.
    """


def _expand_class_weight(
    loss_cls: ConfigType, num_classes: int
) -> tuple[ConfigType, float]:
    """One factor per class from ``class_weight`` and ``bg_cls_weight``."""
    loss_cls = dict(loss_cls)
    class_weight = loss_cls.get('class_weight')
    if class_weight is None and 'bg_cls_weight' not in loss_cls:
        return loss_cls, 0
    background = loss_cls.pop('bg_cls_weight', class_weight)
    if not isinstance(class_weight, (int, float)):
        raise ValueError(
            'loss_cls.class_weight must be one number, the factor of all '
            f'classes but the background, got {class_weight!r}'
        )
    weights = torch.full((num_classes + 1,), float(class_weight))
    weights[num_classes] = background
    loss_cls['class_weight'] = weights
    return loss_cls, background
