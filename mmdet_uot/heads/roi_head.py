"""Heads of two-stage detectors on transport plans."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import ConfigType, InstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from .._options import named_options
from ..assigners import PlanAssigner
from ..losses import box_pairs, check_pair_loss
from .sampling import MatchedAhead, WeightedSampler, drawn_plan

__all__ = ['UOTCascadeRoIHead', 'UOTStandardRoIHead']


@MODELS.register_module()
@named_options
class UOTStandardRoIHead(StandardRoIHead):
    """RoI head whose class and box losses are weighted by a transport plan.

    For Faster and Mask R-CNN. Takes everything that mmdet's
    ``StandardRoIHead`` takes; the box head stays that of mmdet. The sampler
    draws from the hard view of the plan; what it draws is weighted by the
    plan. Images are matched together, and both losses are divided by the mass
    of all that is drawn. Masks are learnt from the hard view, or with
    :class:`UOTFCNMaskHead` from the plan. With a stock assigner the losses
    are those of the stock head.

    Args:
        *args: Of ``StandardRoIHead``.
        min_mass (float): Which pairs are left out, see :func:`box_pairs`.
            Defaults to 0.01.
        **kwargs: Of ``StandardRoIHead``.

    Raises:
        TypeError: If the box head cannot be weighted by pairs.
    """

    def __init__(self, *args, min_mass: float = 0.01, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.min_mass = min_mass
        _check(self.bbox_head)

    def init_assigner_sampler(self) -> None:
        """Builds the assigner and the sampler, which keeps weights."""
        super().init_assigner_sampler()
        if self.bbox_sampler is not None:
            self.bbox_sampler = WeightedSampler(self.bbox_sampler)

    def loss(
        self,
        x: tuple[Tensor],
        rpn_results_list: InstanceList,
        batch_data_samples: list[DetDataSample],
    ) -> dict[str, Tensor]:
        """Matches the proposals of all images and computes the losses.

        Args:
            x (tuple[Tensor]): Per level, (B, C, H, W) features.
            rpn_results_list (list[InstanceData]): Per image, with ``bboxes``
                of the proposals.
            batch_data_samples (list[DetDataSample]): Per image.

        Returns:
            dict[str, Tensor]: What ``StandardRoIHead`` returns.
        """
        assigner = self.bbox_assigner
        if isinstance(assigner, PlanAssigner):
            gts, ignored, metas = unpack_gt_instances(batch_data_samples)
            preds = [
                InstanceData(priors=results.bboxes)
                for results in rpn_results_list
            ]
            self.bbox_assigner = MatchedAhead(
                assigner, preds, gts, metas, ignored
            )
        try:
            return super().loss(x, rpn_results_list, batch_data_samples)
        finally:
            self.bbox_assigner = assigner

    def bbox_loss(
        self, x: tuple[Tensor], sampling_results: list[SamplingResult]
    ) -> dict[str, Any]:
        """Computes the losses of the box head.

        Args:
            x (tuple[Tensor]): Per level, (B, C, H, W) features.
            sampling_results (list[SamplingResult]): Per image.

        Returns:
            dict[str, Any]: What ``StandardRoIHead`` returns, where
            ``loss_bbox`` holds ``loss_cls``, ``loss_bbox`` and ``acc``.
        """
        results = super().bbox_loss(x, sampling_results)
        results['loss_bbox'].update(
            _weighted_losses(
                self.bbox_head,
                results,
                sampling_results,
                self.train_cfg,
                self.min_mass,
            )
        )
        return results


@MODELS.register_module()
@named_options
class UOTCascadeRoIHead(CascadeRoIHead):
    """Cascade R-CNN's head on plans, see :class:`UOTStandardRoIHead`.

    Each stage has an assigner of its own. Boxes are refined for the next
    stage as in ``CascadeRoIHead``.

    Args:
        *args: Of ``CascadeRoIHead``.
        min_mass (float): Which pairs are left out, see :func:`box_pairs`.
            Defaults to 0.01.
        **kwargs: Of ``CascadeRoIHead``.

    Raises:
        TypeError: If a box head cannot be weighted by pairs.
    """

    def __init__(self, *args, min_mass: float = 0.01, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.min_mass = min_mass
        for head in self.bbox_head:
            _check(head)

    def init_assigner_sampler(self) -> None:
        """Builds assigners and samplers, which keep weights."""
        super().init_assigner_sampler()
        self.bbox_sampler = [*map(WeightedSampler, self.bbox_sampler)]

    def bbox_loss(
        self,
        stage: int,
        x: tuple[Tensor],
        sampling_results: list[SamplingResult],
    ) -> dict[str, Any]:
        """Computes the losses of the box head of a stage.

        Args:
            stage (int): Which stage.
            x (tuple[Tensor]): Per level, (B, C, H, W) features.
            sampling_results (list[SamplingResult]): Per image.

        Returns:
            dict[str, Any]: What ``CascadeRoIHead`` returns.
        """
        results = super().bbox_loss(stage, x, sampling_results)
        results['loss_bbox'].update(
            _weighted_losses(
                self.bbox_head[stage],
                results,
                sampling_results,
                self.train_cfg[stage],
                self.min_mass,
            )
        )
        return results


def _check(bbox_head: BBoxHead) -> None:
    """Raises TypeError if a box head does not learn from labels and boxes."""
    own = type(bbox_head)
    if own.get_targets is not BBoxHead.get_targets:
        raise TypeError(
            f'{own.__name__} has targets of its own, so transport plans '
            'would not be used; take it with a RoI head of mmdet'
        )
    check_pair_loss(bbox_head.loss_cls)


def _weighted_losses(
    bbox_head: BBoxHead,
    results: dict[str, Any],
    sampling_results: list[SamplingResult],
    train_cfg: ConfigType,
    min_mass: float,
) -> dict[str, Tensor]:
    r"""Losses of the box head, each pair a sample with its mass as weight.

    A RoI that several ground truths share is several samples. The head
    divides by the number of samples; here it is

    .. math::
        \frac{1}{\sum_{ij} N P_{ij}} \sum_{ij} N P_{ij} \mathcal{L}_{ij}.
    """
    plan = drawn_plan(sampling_results)
    pairs = box_pairs(plan, min_mass)
    samples = []
    first = 0
    for image, drawn in enumerate(sampling_results):
        rows = pairs.prediction[pairs.image == image]
        target = pairs.ground_truth[pairs.image == image]
        mass = pairs.mass[pairs.image == image]
        background = plan.background[image]
        others = background.nonzero()[:, 0]
        priors, gts = drawn.priors, drawn.gt_instances
        # gts[target] would copy a mask for each pair.
        targets = bbox_head._get_targets_single(
            priors[rows],
            priors[others],
            gts.bboxes[target],
            gts.labels[target],
            train_cfg,
        )
        weight = torch.cat((mass, background[others]))
        samples.append((first + torch.cat((rows, others)), weight, *targets))
        first += len(priors)
    rows, weight, labels, label_weights, targets, box_weights = (
        torch.cat(parts) for parts in zip(*samples)
    )
    label_weights = label_weights * weight
    losses: dict[str, Tensor] = bbox_head.loss(
        results['cls_score'][rows],
        results['bbox_pred'][rows],
        bbox2roi([drawn.priors for drawn in sampling_results])[rows],
        labels,
        label_weights,
        targets,
        box_weights * weight.unsqueeze(1),
    )
    total = plan.weights.sum().clamp(min=1)
    counted = (label_weights > 0).sum().clamp(min=1)
    return dict(
        loss_cls=losses['loss_cls'] * (counted / total),
        loss_bbox=losses['loss_bbox'] * (len(rows) / total),
    )
