"""RetinaNet's and the RPN's head on transport plans."""

from __future__ import annotations

from mmdet.models.dense_heads import (
    AnchorHead,
    RetinaHead,
    RetinaSepBNHead,
    RPNHead,
)
from mmdet.models.task_modules.samplers import PseudoSampler
from mmdet.registry import MODELS
from mmdet.utils import InstanceList, OptInstanceList
from torch import Tensor

from ..inputs.ground_truths import GroundTruths
from .anchor_matching import AnchorMatching
from .levels import boxes_of_pairs, sum_levels
from .matched import Matched
from .sampling import sampled

__all__ = [
    'UOTAnchorHead',
    'UOTRPNHead',
    'UOTRetinaHead',
    'UOTRetinaSepBNHead',
]


@MODELS.register_module()
class UOTAnchorHead(AnchorMatching):
    """Anchor head whose losses are weighted by a transport plan.

    Takes everything that mmdet's ``AnchorHead`` takes, and the options of
    :class:`AnchorMatching`. With a stock assigner the losses are those of
    the stock head.

    A sampler (that of an RPN) draws from the hard view of the plan; what it
    draws is weighted by the plan. Class and box loss are divided by the
    foreground mass, with a sampler by the mass of all that it draws.

    A head derived from ``AnchorHead`` becomes one on plans by inheriting
    from both, the stock head first.

    Args:
        *args: Of ``AnchorHead``.
        **kwargs: Of ``AnchorHead``.

    Raises:
        TypeError: If a base class computes the losses itself.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        own = type(self).loss_by_feat_single
        if own is not AnchorHead.loss_by_feat_single:
            raise TypeError(
                f'{type(self).__name__}: {own.__qualname__} computes the '
                'losses itself, so transport plans would not be used; this '
                'head is not supported'
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
            cls_scores (list[Tensor]): Per level, (B, anchors * C, H, W).
            bbox_preds (list[Tensor]): Per level, (B, anchors * 4, H, W).
            batch_gt_instances (list[InstanceData]): Per image, ``bboxes``
                and ``labels``.
            batch_img_metas (list[dict]): Per image, with ``img_shape`` and
                ``pad_shape``.
            batch_gt_instances_ignore (list[InstanceData], optional): Per
                image, ignored ``bboxes``. Defaults to None.

        Returns:
            dict[str, list[Tensor]]: ``loss_cls`` and ``loss_bbox``, one
            entry per level.
        """
        gts = GroundTruths.of(
            batch_gt_instances, batch_img_metas, cls_scores[0].device
        )
        plan, anchors, counts = self.match_anchors(
            cls_scores, gts, batch_gt_instances_ignore
        )
        average = plan.foreground_mass.clamp(min=1)
        if not isinstance(self.sampler, PseudoSampler):
            plan = sampled(self.assigner, self.sampler, plan, anchors, gts)
            average = plan.foreground_mass.clamp(min=1)
            average = average + plan.background.sum(1).clamp(min=1)
        average = average.sum()

        scores, deltas = self.flatten(cls_scores, bbox_preds, gts)
        matched = Matched.of(plan, gts, self.num_classes, self.min_mass)
        loss_cls = self.class_loss(matched, scores)
        pred, target = boxes_of_pairs(
            self, matched.pairs, deltas, anchors, gts.boxes
        )
        loss_bbox = matched.pair_loss(self.loss_bbox, pred, target)
        return dict(
            loss_cls=sum_levels(loss_cls / average, counts),
            loss_bbox=sum_levels(loss_bbox / average, counts),
        )


@MODELS.register_module()
class UOTRetinaHead(RetinaHead, UOTAnchorHead):
    """RetinaNet's head on transport plans, see :class:`UOTAnchorHead`."""


@MODELS.register_module()
class UOTRetinaSepBNHead(RetinaSepBNHead, UOTAnchorHead):
    """Its variant with BatchNorm per level, see :class:`UOTAnchorHead`."""


@MODELS.register_module()
class UOTRPNHead(RPNHead, UOTAnchorHead):
    """The RPN's head on transport plans, see :class:`UOTAnchorHead`."""
