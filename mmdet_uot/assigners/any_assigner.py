"""What heads call: a plan from any assigner, ours or mmdet's."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.task_modules.assigners import ATSSAssigner, BaseAssigner
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..inputs.instances import check_ignored, check_lengths
from ..ot import TransportPlan
from .plan_assigner import PlanAssigner

__all__ = ['hard_indices', 'match_batch', 'match_layers']


def match_batch(
    assigner: BaseAssigner,
    batch_pred_instances: Sequence[InstanceData],
    batch_gt_instances: Sequence[InstanceData],
    batch_img_metas: Sequence[dict],
    batch_gt_instances_ignore: Sequence[InstanceData | None] | None = None,
) -> TransportPlan:
    """Matches a batch with any assigner.

    An assigner with a ``match`` of its own is asked for its plan; the result
    of a stock one becomes a plan of zeros and ones.

    Args:
        assigner (BaseAssigner): One of ours or any of mmdet's.
        batch_pred_instances (Sequence[InstanceData]): Per image. For
            ``ATSSAssigner`` their ``num_level_priors`` is a list of int.
        batch_gt_instances (Sequence[InstanceData]): Per image; given as
            :class:`GroundTruths` they are not prepared again.
        batch_img_metas (Sequence[dict]): Per image.
        batch_gt_instances_ignore (Sequence[InstanceData], optional): Per
            image. Defaults to None.

    Returns:
        TransportPlan: Weights (B, N, M + 1).

    Raises:
        ValueError: If a sequence has not one entry per image.
    """
    arguments = batch_pred_instances, batch_gt_instances, batch_img_metas
    ignored = batch_gt_instances_ignore
    if hasattr(assigner, 'match'):
        return assigner.match(*arguments, ignored)
    check_lengths(*arguments)
    ignored = ignored or [None] * len(batch_gt_instances)
    check_ignored(ignored, len(batch_gt_instances))
    gt_inds = [
        assigner.assign(
            pred,
            gt_instances=gt,
            gt_instances_ignore=ignore,
            **(
                dict(num_level_priors=pred.num_level_priors)
                if isinstance(assigner, ATSSAssigner)
                else dict(img_meta=meta)
            ),
        ).gt_inds
        for pred, gt, meta, ignore in zip(*arguments, ignored)
    ]
    # 1-based; 0 is background, -1 ignored. Missing predictions are ignored.
    padded = pad_sequence(gt_inds, batch_first=True, padding_value=-1)
    return TransportPlan.from_indices(
        padded - 1,
        max(len(gt) for gt in batch_gt_instances),
        ignored=padded < 0,
    )


def match_layers(
    assigner: BaseAssigner,
    scores: Tensor,
    boxes: Tensor,
    batch_gt_instances: Sequence[InstanceData],
    batch_img_metas: Sequence[dict],
) -> TransportPlan:
    """Matches the layers of a decoder with any assigner.

    What a stock assigner ignores is background, but takes no part: mmdet's
    ``DETRHead`` trains it as background and leaves it out of the averages.
    Stock assigners are told of no ignored boxes, as in that head.

    Args:
        assigner (BaseAssigner): One of ours or any of mmdet's.
        scores (Tensor): (L, B, N, C) logits.
        boxes (Tensor): (L, B, N, 4) boxes, xyxy in pixels.
        batch_gt_instances (Sequence[InstanceData]): Per image; given as
            :class:`GroundTruths` they are not prepared again.
        batch_img_metas (Sequence[dict]): Per image.

    Returns:
        TransportPlan: Weights (L * B, N, M + 1), layer by layer.
    """
    if hasattr(assigner, 'match_layers'):
        return assigner.match_layers(
            scores, boxes, batch_gt_instances, batch_img_metas
        )
    preds = [
        InstanceData(scores=score, bboxes=box)
        for score, box in zip(
            scores.detach().flatten(0, 1), boxes.detach().flatten(0, 1)
        )
    ]
    layers = len(scores)
    plan = match_batch(
        assigner,
        preds,
        list(batch_gt_instances) * layers,
        list(batch_img_metas) * layers,
    )
    plan.background.masked_fill_(plan.pred_mass == 0, 1.0)
    return plan


def hard_indices(assigner: BaseAssigner, plan: TransportPlan) -> Tensor:
    """The hard view that an assigner would give of its plan.

    Args:
        assigner (BaseAssigner): One of ours or any of mmdet's.
        plan (TransportPlan): Weights (B, N, M + 1).

    Returns:
        Tensor: (B, N) int64 ground truth index, -1 for the background.
    """
    if isinstance(assigner, PlanAssigner):
        return assigner.view.indices(plan, assigner.mass)
    return plan.best_ground_truth()
