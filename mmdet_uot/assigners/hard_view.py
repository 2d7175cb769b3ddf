"""Hard views of a plan, as mmdet's AssignResult."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from .._options import check_choice, named_options
from ..inputs.bad_numbers import is_good_box
from ..inputs.instances import fields
from ..masses import Mass
from ..ot import TransportPlan

__all__ = ['HARD_VIEWS', 'HardView', 'hard_results']


# What a view may be; each is a method of the plan.
HARD_VIEWS = ('best_ground_truth', 'best_prediction', 'one_to_one')


@TASK_UTILS.register_module()
@named_options
class HardView:
    """What stock heads and samplers get of a plan.

    Args:
        hard_view (str, optional): ``'best_ground_truth'`` per prediction,
            ``'best_prediction'`` per ground truth, or ``'one_to_one'``; see
            the methods of :class:`mmdet_uot.ot.TransportPlan`. Defaults to
            None, which follows the masses' weights: the first if ground
            truths take what comes (tau2 < 1 unit of the costs, or a range of
            masses), the second if
            predictions do (tau1 < 1), else the third. A ground truth that
            asks for the mass of one prediction shares it among several, of
            which none may have it as its best.

    Raises:
        ValueError: If there is no such view.
    """

    def __init__(self, *, hard_view: str | None = None) -> None:
        if hard_view is not None:
            check_choice('hard_view', hard_view, HARD_VIEWS)
        self.hard_view = hard_view

    def __call__(
        self,
        plan: TransportPlan,
        mass: Mass,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
    ) -> AssignResult:
        """Turns the plan of one image into what mmdet expects.

        Args:
            plan (TransportPlan): Weights (1, N, M + 1).
            mass (Mass): What the plan was asked for.
            pred_instances (InstanceData): With ``bboxes`` or ``priors``.
            gt_instances (InstanceData): With ``bboxes`` and ``labels``.

        Returns:
            AssignResult: See :meth:`PlanAssigner.assign`.
        """
        indices = self.indices(plan, mass)
        (result,) = hard_results(
            plan, indices, [pred_instances], [gt_instances]
        )
        return result

    def indices(self, plan: TransportPlan, mass: Mass) -> Tensor:
        """(B, N) int64 ground truth of each prediction, -1 for background."""
        view = self.hard_view or _view_of(mass)
        indices: Tensor = getattr(plan, view)()
        return indices


def hard_results(
    plan: TransportPlan,
    indices: Tensor,
    batch_pred_instances: Sequence[InstanceData],
    batch_gt_instances: Sequence[InstanceData],
) -> list[AssignResult]:
    """A hard view as mmdet's samplers and heads expect it, per image.

    Args:
        plan (TransportPlan): Weights (B, N, M + 1).
        indices (Tensor): (B, N) int64 ground truth of each prediction, -1
            for the background.
        batch_pred_instances (Sequence[InstanceData]): Per image, with
            ``bboxes`` or ``priors``.
        batch_gt_instances (Sequence[InstanceData]): Per image, with
            ``bboxes`` and ``labels``.

    Returns:
        list[AssignResult]: See :meth:`PlanAssigner.assign`.
    """
    all_labels = fields(batch_gt_instances, 'labels', (), 'gt_instances')
    results: list[AssignResult] = []
    for image, (pred, gt) in enumerate(
        zip(batch_pred_instances, batch_gt_instances)
    ):
        found = indices[image, : len(pred)]
        ignored = plan.pred_mass[image, : len(pred)] == 0
        labels = torch.full_like(found, -1)
        matched = found >= 0
        labels[matched] = all_labels[image][found[matched]].to(labels)
        results.append(
            _Result(
                num_gts=len(gt),
                gt_inds=(found + 1).masked_fill(ignored, -1),
                max_overlaps=_max_overlaps(pred, gt, ignored),
                labels=labels,
                may_be_sampled=_have_good_boxes(gt),
            )
        )
    return results


def _view_of(mass: Mass) -> str:
    if mass.tau2 < 1 or mass.has_range:
        return 'best_ground_truth'
    return 'best_prediction' if mass.tau1 < 1 else 'one_to_one'


class _Result(AssignResult):
    """Keeps ground truths that take no part from becoming proposals."""

    def __init__(
        self, *, may_be_sampled: Tensor | None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.may_be_sampled = may_be_sampled

    def add_gt_(self, gt_labels: Tensor) -> None:
        """Adds the ground truths as predictions matched to themselves."""
        super().add_gt_(gt_labels)
        if self.may_be_sampled is not None:
            own = self.gt_inds[: len(gt_labels)]
            own.masked_fill_(~self.may_be_sampled, -1)


def _have_good_boxes(gt_instances: InstanceData) -> Tensor | None:
    if 'bboxes' not in gt_instances:
        return None
    return is_good_box(get_box_tensor(gt_instances.bboxes))


def _max_overlaps(
    pred_instances: InstanceData, gt_instances: InstanceData, ignored: Tensor
) -> Tensor | None:
    name = next((k for k in ('bboxes', 'priors') if k in pred_instances), None)
    if name is None or 'bboxes' not in gt_instances:
        return None
    boxes = get_box_tensor(pred_instances.get(name)).float()
    if len(gt_instances) == 0:
        overlaps = boxes.new_zeros(len(boxes))
    else:
        gt_boxes = get_box_tensor(gt_instances.bboxes).float()
        overlaps = bbox_overlaps(gt_boxes, boxes).nan_to_num_(0.0).amax(0)
    return overlaps.masked_fill(ignored, -1.0)
