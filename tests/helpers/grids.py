"""Predictions on the feature grids of one-stage detectors."""

import torch
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

from .boxes import random_boxes

SIDE = 320


def priors_of(head):
    """Those of YOLOX and RTMDet (points), or TOOD (boxes)."""
    if head == 'tood':
        generator = dict(
            type='AnchorGenerator',
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=[8, 16, 32, 64, 128],
        )
        options = {}
    else:
        generator = dict(
            type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]
        )
        options = dict(with_stride=True)
    strides = generator['strides']
    sizes = [(-(-SIDE // stride),) * 2 for stride in strides]
    levels = TASK_UTILS.build(generator).grid_priors(
        sizes, device='cpu', **options
    )
    return torch.cat(levels)


def grid_image(head, seed, num_gts=8, num_classes=5, crowd=False):
    """An image of a detector that has learned something.

    A prediction aims at the nearest object, if it lies in it, else at its own
    cell. The last object lies between all grid points. In a crowd objects
    cover one another.
    """
    generator = torch.Generator().manual_seed(seed)
    priors = priors_of(head)
    side = (20.0, 120.0)
    gt = random_boxes(num_gts, generator, corner=190.0, side=side)
    if crowd:
        gt[1::2] = gt[::2] + 12 * torch.rand(
            num_gts // 2, 4, generator=generator
        )
    gt[-1] = torch.tensor([1.0, 1.0, 3.5, 3.5])  # has no candidate
    labels = torch.randint(0, num_classes, (num_gts,), generator=generator)
    point = priors[:, :2]
    if head == 'tood':
        point = (priors[:, :2] + priors[:, 2:]) / 2
    center = (gt[:, :2] + gt[:, 2:]) / 2
    target = gt[torch.cdist(point, center).argmin(1)]
    inside = (point > target[:, :2]) & (point < target[:, 2:])
    cell = torch.cat((point - 10, point + 10), 1)
    target = torch.where(inside.all(1, keepdim=True), target, cell)
    noise = 8 * torch.randn(len(priors), 4, generator=generator)
    boxes = target + noise
    boxes = torch.cat((boxes[:, :2], boxes[:, :2].maximum(boxes[:, 2:])), 1)
    scores = torch.rand(len(priors), num_classes, generator=generator)
    preds = InstanceData(
        priors=priors, bboxes=boxes, scores=0.01 + 0.98 * scores
    )
    return preds, InstanceData(bboxes=gt, labels=labels)
