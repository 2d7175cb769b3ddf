"""FCOS's and YOLOX's heads on transport plans."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import FCOSHead, YOLOXHead
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from mmdet.utils import InstanceList, OptInstanceList, reduce_mean
from torch import Tensor

from .._options import named_options
from ..inputs.bad_numbers import (
    BadNumberLog,
    describe_predictions,
    drop_bad_numbers,
)
from ..inputs.ground_truths import GroundTruths
from ..losses import check_pair_loss
from ..ot import TransportPlan
from .anchor_matching import centreness
from .grid_anchors import GridAnchors, as_logits
from .levels import flatten_levels
from .matched import Matched

__all__ = ['UOTFCOSHead', 'UOTYOLOXHead']


@MODELS.register_module()
@named_options
class UOTFCOSHead(FCOSHead):
    """FCOS's head whose losses are weighted by a transport plan.

    Takes everything that mmdet's ``FCOSHead`` takes. With an ``assigner`` in
    ``train_cfg``, which gets the predicted boxes, the scores and the points
    with their strides, the plan takes the place of FCOS's regions; without
    one the losses are those of ``FCOSHead``. The box loss of a pair is
    weighted by its centre-ness, too.

    Args:
        *args: Of ``FCOSHead``.
        min_mass (float): Which pairs are left out, see :func:`box_pairs`.
            Defaults to 0.01.
        **kwargs: Of ``FCOSHead``.

    Raises:
        TypeError: If the class loss cannot be weighted by pairs.
    """

    def __init__(self, *args, min_mass: float = 0.01, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.min_mass = min_mass
        self.bad_number_log = BadNumberLog(describe_predictions)
        self.grid_points = GridAnchors(self.prior_generator, None, True)
        check_pair_loss(self.loss_cls)
        assigner = (self.train_cfg or {}).get('assigner')
        self.assigner = assigner and TASK_UTILS.build(assigner)

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        centernesses: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: OptInstanceList = None,
    ) -> dict[str, Tensor]:
        """Matches the predictions and computes the weighted losses.

        Args:
            cls_scores (list[Tensor]): Per level, (B, C, H, W).
            bbox_preds (list[Tensor]): Per level, (B, 4, H, W) distances to
                the sides.
            centernesses (list[Tensor]): Per level, (B, 1, H, W).
            batch_gt_instances (list[InstanceData]): Per image.
            batch_img_metas (list[dict]): Per image.
            batch_gt_instances_ignore (list[InstanceData], optional): Per
                image, ignored ``bboxes``. Defaults to None.

        Returns:
            dict[str, Tensor]: ``loss_cls``, ``loss_bbox`` and
            ``loss_centerness``.
        """
        if self.assigner is None:
            return super().loss_by_feat(
                cls_scores,
                bbox_preds,
                centernesses,
                batch_gt_instances,
                batch_img_metas,
                batch_gt_instances_ignore,
            )
        gts = GroundTruths.of(
            batch_gt_instances, batch_img_metas, cls_scores[0].device
        )
        sizes = [tuple(score.shape[-2:]) for score in cls_scores]
        points = self.grid_points.anchors(sizes, gts.device)
        scores, distances = drop_bad_numbers(
            flatten_levels(cls_scores, self.cls_out_channels),
            flatten_levels(bbox_preds, 4),
            self.bad_number_log,
            gts.names,
        )
        if self.norm_on_bbox:
            distances = distances * points[:, 2:].repeat(1, 2)
        boxes = self.bbox_coder.decode(
            points[:, :2].expand(len(gts), -1, 2), distances
        )
        plan = self.grid_points.match(
            self.assigner,
            sizes,
            gts,
            batch_gt_instances_ignore,
            scores=scores,
            bboxes=boxes,
        )
        matched = Matched.of(plan, gts, self.num_classes, self.min_mass)
        central = centreness(
            points[matched.pairs.prediction, :2], matched.targets
        )
        average = reduce_mean(plan.foreground_mass.sum()).clamp(min=1)
        mass = reduce_mean((matched.pairs.mass * central).sum())
        loss_cls = matched.class_loss(self.loss_cls, scores, self.num_classes)
        loss_bbox = matched.pair_loss(
            self.loss_bbox, matched.predicted(boxes), matched.targets, central
        )
        loss_centerness = matched.pair_loss(
            self.loss_centerness,
            matched.predicted(flatten_levels(centernesses, 1)),
            central.unsqueeze(1),
        )
        return dict(
            loss_cls=loss_cls.sum() / average,
            loss_bbox=loss_bbox.sum() / mass.clamp(min=1e-6),
            loss_centerness=loss_centerness.sum() / average,
        )


@MODELS.register_module()
@named_options
class UOTYOLOXHead(YOLOXHead):
    """YOLOX's head whose losses are weighted by a transport plan.

    Takes everything that mmdet's ``YOLOXHead`` takes. The class score of each
    pair is to be its IoU; the objectness is learnt from the mass of all
    ground truths against that of the background. With ``SimOTAAssigner`` the
    losses are those of ``YOLOXHead``.

    Args:
        *args: Of ``YOLOXHead``.
        min_mass (float): Which pairs are left out, see :func:`box_pairs`.
            Defaults to 0.01.
        **kwargs: Of ``YOLOXHead``.
    """

    def __init__(self, *args, min_mass: float = 0.01, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.min_mass = min_mass
        self.bad_number_log = BadNumberLog(describe_predictions)
        self.grid_points = GridAnchors(self.prior_generator, None, True)

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        objectnesses: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: OptInstanceList = None,
    ) -> dict[str, Tensor]:
        """Matches the predictions and computes the weighted losses.

        Args:
            cls_scores (list[Tensor]): Per level, (B, C, H, W).
            bbox_preds (list[Tensor]): Per level, (B, 4, H, W).
            objectnesses (list[Tensor]): Per level, (B, 1, H, W).
            batch_gt_instances (list[InstanceData]): Per image.
            batch_img_metas (list[dict]): Per image.
            batch_gt_instances_ignore (list[InstanceData], optional): Per
                image, ignored ``bboxes``. Defaults to None.

        Returns:
            dict[str, Tensor]: ``loss_cls``, ``loss_bbox``, ``loss_obj``, and
            ``loss_l1`` if the head has it.
        """
        gts = GroundTruths.of(
            batch_gt_instances, batch_img_metas, cls_scores[0].device
        )
        sizes = [tuple(score.shape[-2:]) for score in cls_scores]
        points = self.grid_points.anchors(sizes, gts.device)
        outputs = torch.cat(
            [
                flatten_levels(cls_scores, self.cls_out_channels),
                flatten_levels(objectnesses, 1),
            ],
            dim=2,
        )
        outputs, encoded = drop_bad_numbers(
            outputs,
            flatten_levels(bbox_preds, 4),
            self.bad_number_log,
            gts.names,
        )
        scores, objectness = outputs[..., :-1], outputs[..., -1:]
        boxes = self._bbox_decode(points, encoded)
        joint = (scores.sigmoid() * objectness.sigmoid()).sqrt()
        plan = self.grid_points.match(
            self.assigner,
            sizes,
            gts,
            batch_gt_instances_ignore,
            scores=as_logits(self.assigner, joint),
            bboxes=boxes,
            priors=_centred(points).expand(len(gts), -1, 4),
        )
        matched = Matched.of(plan, gts, self.num_classes, self.min_mass)
        pred, target = matched.predicted(boxes), matched.targets
        average = reduce_mean(plan.foreground_mass.sum()).clamp(min=1)

        quality = bbox_overlaps(pred.detach(), target, is_aligned=True)
        labels = matched.labels[
            matched.pairs.image, matched.pairs.ground_truth
        ]
        classes = F.one_hot(labels, self.num_classes) * quality.unsqueeze(1)
        losses = dict(
            loss_cls=matched.pair_loss(
                self.loss_cls, matched.predicted(scores), classes
            ),
            loss_bbox=matched.pair_loss(self.loss_bbox, pred, target),
            loss_obj=self._objectness_loss(objectness, plan),
        )
        if self.use_l1:
            prior = points[matched.pairs.prediction]
            sides = self._get_l1_target(torch.zeros_like(pred), target, prior)
            losses['loss_l1'] = matched.pair_loss(
                self.loss_l1, matched.predicted(encoded), sides
            )
        return {name: loss.sum() / average for name, loss in losses.items()}

    def _objectness_loss(
        self, objectness: Tensor, plan: TransportPlan
    ) -> Tensor:
        """(B, N) losses of an object's mass and of the background's."""
        total = objectness.new_zeros(objectness.shape[:2])
        foreground = plan.pred_marginal - plan.background
        # As in YOLOXHead, what takes no part is background.
        background = plan.background + (plan.pred_mass == 0)
        for target, mass in ((1.0, foreground), (0.0, background)):
            loss = self.loss_obj(
                objectness.flatten(0, 1),
                torch.full_like(objectness.flatten(0, 1), target),
                mass.reshape(-1, 1),
                reduction_override='none',
            )
            total = total + loss.view_as(total)
        return total


def _centred(points: Tensor) -> Tensor:
    """(N, 4) centres of grid cells, which YOLOX's assigner looks at."""
    centres = points[:, :2] + points[:, 2:] / 2
    return torch.cat((centres, points[:, 2:]), dim=1)
