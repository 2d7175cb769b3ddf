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

from .._options import named_options
from ..inputs.bad_numbers import (
    BadNumberLog,
    describe_predictions,
    drop_bad_numbers,
)
from ..inputs.ground_truths import GroundTruths
from ..losses import box_loss, box_pairs, check_pair_loss, pair_class_loss
from .grid_anchors import GridAnchors
from .levels import boxes_of_pairs, flatten_levels, sum_levels
from .sampling import sampled

__all__ = [
    'UOTAnchorHead',
    'UOTRPNHead',
    'UOTRetinaHead',
    'UOTRetinaSepBNHead',
]


@MODELS.register_module()
@named_options
class UOTAnchorHead(AnchorHead):
    """Anchor head whose losses are weighted by a transport plan.

    Takes everything that mmdet's ``AnchorHead`` takes. The anchors of all
    images are matched in one solve. With a stock assigner the losses are
    those of the stock head.

    A sampler (that of an RPN) draws from the hard view of the plan; what it
    draws is weighted by the plan. Class and box loss are divided by the
    foreground mass, with a sampler by the mass of all that it draws.

    A head derived from ``AnchorHead`` becomes one on plans by inheriting
    from both, the stock head first.

    Args:
        *args: Of ``AnchorHead``.
        min_mass (float): Which pairs are left out, see :func:`box_pairs`.
            Defaults to 0.01.
        **kwargs: Of ``AnchorHead``.

    Raises:
        TypeError: If the class loss cannot be weighted by pairs, or a base
            class computes the losses itself.
    """

    def __init__(self, *args, min_mass: float = 0.01, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.min_mass = min_mass
        self.bad_number_log = BadNumberLog(describe_predictions)
        check_pair_loss(self.loss_cls)
        own = type(self).loss_by_feat_single
        if own is not AnchorHead.loss_by_feat_single:
            raise TypeError(
                f'{type(self).__name__}: {own.__qualname__} computes the '
                'losses itself, so transport plans would not be used; this '
                'head is not supported'
            )
        if self.train_cfg:
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
        device = cls_scores[0].device
        gts = GroundTruths.of(batch_gt_instances, batch_img_metas, device)
        labels = gts.labels(self.num_classes)
        sizes = [tuple(score.shape[-2:]) for score in cls_scores]
        plan = self.grid_anchors.match(
            self.assigner, sizes, gts, device, batch_gt_instances_ignore
        )
        anchors = self.grid_anchors.anchors(sizes, device)
        average = plan.foreground_mass.clamp(min=1)
        if not isinstance(self.sampler, PseudoSampler):
            plan = sampled(self.assigner, self.sampler, plan, anchors, gts)
            average = plan.foreground_mass.clamp(min=1)
            average = average + plan.background.sum(1).clamp(min=1)
        average = average.sum()

        scores, deltas = drop_bad_numbers(
            flatten_levels(cls_scores, self.cls_out_channels),
            flatten_levels(bbox_preds, self.bbox_coder.encode_size),
            self.bad_number_log,
            gts.names,
        )
        pairs = box_pairs(plan, self.min_mass)
        weight = self.train_cfg['pos_weight']
        loss_cls = pair_class_loss(
            self.loss_cls,
            scores,
            plan,
            pairs if weight <= 0 else pairs._replace(mass=pairs.mass * weight),
            labels,
            background=self.num_classes,
        )
        pred, target = boxes_of_pairs(self, pairs, deltas, anchors, gts.boxes)
        B, N = plan.pred_mass.shape
        loss_bbox = box_loss(
            self.loss_bbox,
            pred,
            target,
            pairs.mass,
            pairs.prediction.add(pairs.image, alpha=N),
            B * N,
        )
        counts = [score[:, :: self.cls_out_channels] for score in cls_scores]
        return {
            name: sum_levels(value.view(B, N) / average, counts)
            for name, value in (
                ('loss_cls', loss_cls),
                ('loss_bbox', loss_bbox),
            )
        }


@MODELS.register_module()
class UOTRetinaHead(RetinaHead, UOTAnchorHead):
    """RetinaNet's head on transport plans, see :class:`UOTAnchorHead`."""


@MODELS.register_module()
class UOTRetinaSepBNHead(RetinaSepBNHead, UOTAnchorHead):
    """Its variant with BatchNorm per level, see :class:`UOTAnchorHead`."""


@MODELS.register_module()
class UOTRPNHead(RPNHead, UOTAnchorHead):
    """The RPN's head on transport plans, see :class:`UOTAnchorHead`."""
