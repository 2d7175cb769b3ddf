"""A hard matching as mmdet's AssignResult."""

from __future__ import annotations

import torch
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

__all__ = ['to_assign_result']


def to_assign_result(
    indices: Tensor,
    ignored: Tensor,
    pred_instances: InstanceData,
    gt_instances: InstanceData,
) -> AssignResult:
    """Turns a hard matching into what stock heads and samplers expect.

    Args:
        indices (Tensor): (N,) int64 ground truth index, -1 for background.
        ignored (Tensor): (N,) bool.
        pred_instances (InstanceData): With ``bboxes`` or ``priors``.
        gt_instances (InstanceData): With ``bboxes`` and ``labels``.

    Returns:
        AssignResult: See :meth:`UOTAssigner.assign`.
    """
    labels = torch.full_like(indices, -1)
    matched = indices >= 0
    labels[matched] = gt_instances.labels[indices[matched]].to(labels)
    return AssignResult(
        num_gts=len(gt_instances),
        gt_inds=(indices + 1).masked_fill(ignored, -1),
        max_overlaps=_max_overlaps(pred_instances, gt_instances, ignored),
        labels=labels,
    )


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
        overlaps = bbox_overlaps(gt_boxes, boxes).amax(0)
    return overlaps.masked_fill(ignored, -1.0)
