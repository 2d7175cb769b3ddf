"""TOOD's head on transport plans."""

from __future__ import annotations

from mmdet.models.dense_heads import TOODHead
from mmdet.models.task_modules.assigners import (
    AssignResult,
    BaseAssigner,
    TaskAlignedAssigner,
)
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmdet.utils import InstanceList, OptInstanceList, reduce_mean
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch import Tensor

from ..inputs.ground_truths import GroundTruths
from ..losses import check_pair_loss
from .anchor_matching import AnchorMatching, centreness
from .grid_anchors import as_logits
from .levels import sum_levels
from .matched import Matched

__all__ = ['UOTTOODHead']


@MODELS.register_module()
class UOTTOODHead(AnchorMatching, TOODHead):
    r"""TOOD's head whose losses are weighted by a transport plan.

    Takes everything that mmdet's ``TOODHead`` takes, and the options of
    :class:`AnchorMatching`. Both of its assigners may be plans: the initial
    one matches anchors, the other predictions. After the initial epochs the
    score of each pair is to be (TOOD, Sec. 3.2)

    .. math::
        \hat t_{ij} = \frac{t_{ij}}{\max_k t_{kj}} \max_k u_{kj}, \qquad
        t = s^\alpha u^\beta,

    with the score s of the class and the IoU u; it weights the box loss, too.
    With ``ATSSAssigner`` and ``TaskAlignedAssigner`` the losses are those of
    ``TOODHead``.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.train_cfg:
            check_pair_loss(self.initial_loss_cls)
            if isinstance(self.alignment_assigner, TaskAlignedAssigner):
                self.alignment_assigner = _WithExponents(
                    self.alignment_assigner, self.alpha, self.beta
                )

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
            cls_scores (list[Tensor]): Per level, (B, C, H, W) probabilities.
            bbox_preds (list[Tensor]): Per level, (B, 4, H, W) boxes, xyxy in
                strides.
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
        self.epoch = MessageHub.get_current_instance().get_info('epoch')
        initial = self.epoch < self.initial_epoch
        sizes = [tuple(score.shape[-2:]) for score in cls_scores]
        strides = self.grid_anchors.strides(sizes, gts.device)[:, :1]
        scores, boxes = self.flatten(cls_scores, bbox_preds, gts)
        assigner, seen = self.initial_assigner, {}
        if not initial:
            assigner = self.alignment_assigner
            seen = dict(
                scores=as_logits(assigner, scores), bboxes=boxes * strides
            )
        plan = self.grid_anchors.match(
            assigner, sizes, gts, batch_gt_instances_ignore, **seen
        )
        matched = Matched.of(plan, gts, self.num_classes, self.min_mass)
        of_pairs = matched.pairs.prediction
        pred = matched.predicted(boxes)
        target = matched.targets / strides[of_pairs]
        if initial:
            anchors = self.grid_anchors.anchors(sizes, gts.device)[of_pairs]
            weight = centreness(self.anchor_center(anchors), matched.targets)
            loss_cls = self.class_loss(
                matched, scores, loss=self.initial_loss_cls
            )
            average = plan.foreground_mass.sum()
        else:
            weight = self._alignment(matched, scores, pred, target)
            loss_cls = self.class_loss(matched, scores, weight)
            average = (matched.pairs.mass * weight).sum()
        loss_bbox = matched.pair_loss(self.loss_bbox, pred, target, weight)
        mass = reduce_mean((matched.pairs.mass * weight).sum())
        counts = self.grid_anchors.counts(sizes)
        return dict(
            loss_cls=sum_levels(
                loss_cls / reduce_mean(average).clamp(min=1), counts
            ),
            loss_bbox=sum_levels(loss_bbox / mass.clamp(min=1), counts),
        )

    def _alignment(
        self, matched: Matched, scores: Tensor, pred: Tensor, target: Tensor
    ) -> Tensor:
        """(K,) normalised alignment of the pairs."""
        image, _, gt, _ = matched.pairs
        labels = matched.labels[image, gt]
        score = matched.predicted(scores.detach())
        score = score.gather(1, labels.unsqueeze(1))[:, 0]
        overlap = bbox_overlaps(pred.detach(), target, is_aligned=True)
        metric = score**self.alpha * overlap**self.beta
        B, M = matched.labels.shape
        column = gt.add(image, alpha=M)
        greatest, closest = (
            values.new_zeros(B * M).scatter_reduce(0, column, values, 'amax')
            for values in (metric, overlap)
        )
        return metric / (greatest[column] + 1e-7) * closest[column]


class _WithExponents:
    """mmdet's assigner takes them from the head."""

    def __init__(
        self, assigner: BaseAssigner, alpha: float, beta: float
    ) -> None:
        self.assigner, self.alpha, self.beta = assigner, alpha, beta

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **others: object,
    ) -> AssignResult:
        """The result of TAL, which takes nothing else."""
        return self.assigner.assign(
            pred_instances,
            gt_instances,
            gt_instances_ignore,
            self.alpha,
            self.beta,
        )
