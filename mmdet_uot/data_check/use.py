"""What a data set makes of its boxes."""

from __future__ import annotations

import math
from collections import Counter

import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from torch import Tensor

__all__ = ['count_used', 'ssd_anchors']

THRESHOLD = 0.5


def ssd_anchors(cfg: Config) -> Tensor | None:
    """The anchors (A, 4) of an SSD as shares of the image, else None."""
    head = cfg.get('model', {}).get('bbox_head', {})
    side = head.get('anchor_generator', {}).get('input_size')
    if side is None:
        return None
    generator = MODELS.build(cfg.model).bbox_head.prior_generator
    grids = [
        2 * (math.ceil(side / stride),) for stride, _ in generator.strides
    ]
    return torch.cat(generator.grid_priors(grids, device='cpu')) / side


def count_used(
    dataset: BaseDataset, there: Counter[str], anchors: Tensor | None
) -> list[str]:
    """Counts the boxes of each class that a training sees.

    Args:
        dataset (BaseDataset): Built.
        there (Counter[str]): Boxes in its annotation file.
        anchors (Tensor, optional): (A, 4), as shares of the image.

    Returns:
        list[str]: A line per class.
    """
    classes = dataset.metainfo['classes']
    used, hard = Counter(), Counter()
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        size = torch.tensor([info['width'], info['height']] * 2)
        boxes = [x for x in info['instances'] if not x.get('ignore_flag')]
        used.update(classes[x['bbox_label']] for x in boxes)
        if anchors is None or not boxes:
            continue
        corners = torch.tensor([x['bbox'] for x in boxes]) / size
        best = bbox_overlaps(corners, anchors).amax(1)
        hard.update(
            classes[box['bbox_label']]
            for box, overlap in zip(boxes, best.tolist())
            if overlap < THRESHOLD
        )
    return [
        f'{name}: {used[name]} of {there[name]} boxes used'
        + (
            f', {hard[name]} of them without an anchor of IoU {THRESHOLD}'
            if anchors is not None
            else ''
        )
        for name in classes
    ]
