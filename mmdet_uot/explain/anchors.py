"""The anchors of a detector, level by level."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor, nn

__all__ = ['anchor_head', 'anchor_levels', 'levels_of', 'padded_shape']


def anchor_head(model: nn.Module) -> Any:
    """The head that matches anchors first, else None."""
    for name in ('bbox_head', 'rpn_head'):
        head = getattr(model, name, None)
        if isinstance(getattr(head, 'prior_generator', None), AnchorGenerator):
            return head
    return None


def padded_shape(model: nn.Module, shape: tuple[int, int]) -> tuple[int, int]:
    """Height and width of an image of a given shape, padded alone."""
    divisor = getattr(model.data_preprocessor, 'pad_size_divisor', 1)
    height, width = (math.ceil(x / divisor) * divisor for x in shape)
    return height, width


def feature_sizes(
    generator: AnchorGenerator, shape: tuple[int, int]
) -> list[tuple[int, int]]:
    """Height and width of each level for a padded image, rounded up."""
    height, width = shape
    return [
        (math.ceil(height / down), math.ceil(width / across))
        for across, down in generator.strides
    ]


def anchor_levels(model: nn.Module, shape: tuple[int, int]) -> list[Tensor]:
    """Anchors per level, (A, 4), xyxy in pixels.

    Args:
        model (nn.Module): A detector.
        shape (tuple[int, int]): Height and width of the padded image.

    Returns:
        list[Tensor]: Empty for detectors without anchors.
    """
    head = anchor_head(model)
    if head is None:
        return []
    generator = head.prior_generator
    sizes = feature_sizes(generator, shape)
    levels = generator.grid_priors(sizes, device='cpu')
    return [get_box_tensor(level) for level in levels]


def levels_of(boxes: Tensor, levels: list[Tensor]) -> Tensor | None:
    """The level of each of some anchors.

    Args:
        boxes (Tensor): (N, 4), some or all of the anchors.
        levels (list[Tensor]): See :func:`anchor_levels`.

    Returns:
        Tensor, optional: (N,) int64; None if some are no such anchors.
    """
    if not levels:
        return None
    anchors = torch.cat(levels)
    of_anchors = torch.cat(
        [
            torch.full((len(level),), index)
            for index, level in enumerate(levels)
        ]
    )
    if len(boxes) == len(anchors) and torch.equal(boxes, anchors):
        return of_anchors
    rows, place = torch.cat((anchors, boxes)).unique(
        dim=0, return_inverse=True
    )
    level = torch.full((len(rows),), -1)
    level[place[: len(anchors)]] = of_anchors
    found = level[place[len(anchors) :]]
    return found if bool((found >= 0).all()) else None
