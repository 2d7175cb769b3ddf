"""What mmdet's samplers draw from transport plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.task_modules.assigners import AssignResult, BaseAssigner
from mmdet.models.task_modules.samplers import BaseSampler, SamplingResult
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..assigners import PlanAssigner, hard_indices, hard_results
from ..inputs.ground_truths import GroundTruths
from ..ot import TransportPlan

__all__ = ['MatchedAhead', 'WeightedSampler', 'drawn_plan', 'sampled']


def sampled(
    assigner: BaseAssigner,
    sampler: BaseSampler,
    plan: TransportPlan,
    priors: Tensor,
    gts: GroundTruths,
) -> TransportPlan:
    """The plan of what a sampler draws from its hard view.

    Args:
        assigner (BaseAssigner): The one that gave the plan.
        sampler (BaseSampler): Of the head.
        plan (TransportPlan): Weights (B, N, M + 1).
        priors (Tensor): (N, 4) boxes, xyxy in pixels.
        gts (GroundTruths): Of the batch.

    Returns:
        TransportPlan: The same, of which other predictions have no weight.
    """
    rows = torch.zeros_like(plan.pred_mass, dtype=torch.bool)
    preds = [InstanceData(priors=priors)] * len(gts)
    results = hard_results(plan, hard_indices(assigner, plan), preds, gts)
    for row, result, pred, gt in zip(rows, results, preds, gts):
        drawn = sampler.sample(result, pred, gt)
        row[drawn.pos_inds] = True
        row[drawn.neg_inds] = True
    return plan.restrict(rows)


class MatchedAhead:
    """Stands in for an assigner that has matched the images of a batch.

    RoI heads of mmdet ask for one image at a time; a plan is made of all.

    Args:
        assigner (PlanAssigner): One of ours.
        batch_pred_instances (Sequence[InstanceData]): Per image, ``priors``
            (n, 4).
        batch_gt_instances (Sequence[InstanceData]): Per image, ``bboxes``
            (m, 4) and ``labels``.
        batch_img_metas (Sequence[dict]): Per image.
        batch_gt_instances_ignore (Sequence[InstanceData | None]): Per image.
    """

    def __init__(
        self,
        assigner: PlanAssigner,
        batch_pred_instances: Sequence[InstanceData],
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict],
        batch_gt_instances_ignore: Sequence[InstanceData | None],
    ) -> None:
        instances = batch_pred_instances, batch_gt_instances
        plan = assigner.match(
            *instances, batch_img_metas, batch_gt_instances_ignore
        )
        results = hard_results(plan, hard_indices(assigner, plan), *instances)
        for image, result in enumerate(results):
            count = len(batch_pred_instances[image])
            columns = [*range(len(batch_gt_instances[image])), -1]
            result.plan = TransportPlan(
                plan.weights[image : image + 1, :count, columns],
                plan.pred_mass[image : image + 1, :count],
                plan.gt_mass[image : image + 1, columns],
            )
        self._results = iter(results)

    def assign(self, *args: Any, **kwargs: Any) -> AssignResult:
        """The result of the next image, see :meth:`PlanAssigner.assign`."""
        return next(self._results)


class WeightedSampler:
    """A sampler whose results remember the weights of what it drew.

    Args:
        sampler (BaseSampler): Any that draws from an assignment.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self.sampler = sampler

    def sample(
        self,
        assign_result: AssignResult,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        **kwargs: Any,
    ) -> SamplingResult:
        """Draws from the hard view, see ``BaseSampler.sample``.

        Args:
            assign_result (AssignResult): Of one image; ours have a ``plan``.
            pred_instances (InstanceData): With ``priors`` (N, 4).
            gt_instances (InstanceData): With ``bboxes`` and ``labels``.
            **kwargs: Of the sampler.

        Returns:
            SamplingResult: With ``weights`` (n, M + 1), the plan's rows of
            the n positives and negatives, and ``gt_instances``. A ground
            truth that the sampler adds as a prediction is matched to itself.
        """
        plan = getattr(assign_result, 'plan', None)
        if plan is None:
            found = assign_result.gt_inds.unsqueeze(0)
            plan = TransportPlan.from_indices(
                found - 1, len(gt_instances), ignored=found < 0
            )
        result = self.sampler.sample(
            assign_result, pred_instances, gt_instances, **kwargs
        )
        rows = plan.weights[0]
        if len(assign_result.gt_inds) > len(rows):
            own = torch.eye(plan.shape[2]).to(rows)[:-1]
            rows = torch.cat((own, rows))
        result.weights = rows[torch.cat((result.pos_inds, result.neg_inds))]
        result.gt_instances = gt_instances
        return result


def drawn_plan(sampling_results: list[SamplingResult]) -> TransportPlan:
    """The plan of what was drawn from the images of a batch.

    Args:
        sampling_results (list[SamplingResult]): Of a :class:`WeightedSampler`.

    Returns:
        TransportPlan: Weights (B, n, M + 1), image by image the positives,
        then the negatives.
    """
    num_gts = max(result.weights.shape[1] for result in sampling_results) - 1
    foreground, background = [], []
    for result in sampling_results:
        weights = result.weights
        missing = num_gts + 1 - weights.shape[1]
        foreground.append(
            torch.nn.functional.pad(weights[:, :-1], (0, missing))
        )
        background.append(weights[:, -1:])
    weights = torch.cat(
        (
            pad_sequence(foreground, batch_first=True),
            pad_sequence(background, batch_first=True),
        ),
        dim=2,
    )
    n = weights.sum((1, 2)).clamp(min=1).unsqueeze(1)
    return TransportPlan(weights, weights.sum(2) / n, weights.sum(1) / n)
