"""Which anchor would serve the objects that get too little."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..assigners import PlanAssigner
from .anchors import anchor_head, anchor_levels
from .reasons import has_iou_alone
from .survey import Survey

__all__ = ['NewAnchor', 'suggest', 'suggest_anchors']

_RATIOS = (0.5, 1.0, 2.0)
# Eight sides per octave are closer than any threshold needs.
_PER_OCTAVE = 4
_LEAST, _MOST = 4.0, 1024.0
# An object is served by an IoU that is greater than needed by this.
_MORE = 0.05


class NewAnchor(NamedTuple):
    """An anchor at every place of a level.

    Attributes:
        level (int): Of the pyramid.
        width (float): Pixels.
        height (float): Pixels.
        objects (int): How many it would serve of those that get too little.
    """

    level: int
    width: float
    height: float
    objects: int


def suggest(survey: Survey, model: nn.Module) -> list[dict[str, Any]]:
    """Anchors for the objects of a survey that get too little.

    Args:
        survey (Survey): Of any model.
        model (nn.Module): The detector.

    Returns:
        list[dict]: The fields of :class:`NewAnchor`; empty where anchors are
        not matched by IoU alone, as where some are excluded.
    """
    head, assigner, needed = anchor_head(model), survey.assigner, 0.5
    if head is None or not survey.shapes:
        return []
    if isinstance(assigner, PlanAssigner):
        background = assigner.cost.background_cost
        if not has_iou_alone(assigner.cost) or isinstance(background, Tensor):
            return []
        if assigner.cost.candidates is not None:
            return []
        needed = 1 - background
    takes_part = survey.joined('takes_part').bool()
    little = takes_part & ~survey.joined('served').bool()
    boxes = survey.joined('boxes').reshape(-1, 4)[little]
    shape = next(iter(survey.shapes))
    firsts = [level[0] for level in anchor_levels(model, shape)]
    found = suggest_anchors(
        boxes,
        head.prior_generator.strides,
        [tuple(((x[:2] + x[2:]) / 2).tolist()) for x in firsts],
        needed + _MORE,
    )
    return [anchor._asdict() for anchor in found]


def suggest_anchors(
    boxes: Tensor,
    strides: list[tuple[int, int]],
    offsets: list[tuple[float, float]],
    threshold: float,
    count: int = 3,
) -> list[NewAnchor]:
    """Finds anchors with which objects have a greater IoU than a threshold.

    Args:
        boxes (Tensor): (K, 4) xyxy, pixels.
        strides (list[tuple[int, int]]): Across and down, per level.
        offsets (list[tuple[float, float]]): x and y of the middle of the
            first anchor of each level.
        threshold (float): IoU.
        count (int): Most anchors; each next one is for those that the others
            do not serve. Defaults to 3.

    Returns:
        list[NewAnchor]: The best first; fewer if no other serves more.
    """
    octaves = torch.tensor(_MOST / _LEAST).log2().item()
    steps = torch.arange(round(octaves * _PER_OCTAVE) + 1)
    side = (_LEAST * 2 ** (steps / _PER_OCTAVE)).round()
    ratio = torch.tensor(_RATIOS).sqrt()
    height = (side.unsqueeze(1) * ratio).round().flatten()
    width = (side.unsqueeze(1) / ratio).round().flatten()
    serves = torch.stack(
        [
            _best_iou(boxes, stride, offset, width, height) > threshold
            for stride, offset in zip(strides, offsets)
        ]
    )
    found: list[NewAnchor] = []
    left = torch.ones(len(boxes), dtype=torch.bool)
    while len(found) < count and bool(left.any()):
        served = (serves & left).sum(2)
        # Of equal ones the coarsest level has the fewest anchors.
        best = int(served.flip(0).argmax())
        level, size = divmod(best, len(width))
        level = len(strides) - 1 - level
        number = int(served[level, size])
        if number == 0:
            break
        found.append(
            NewAnchor(level, width[size].item(), height[size].item(), number)
        )
        left &= ~serves[level, size]
    return found


def _best_iou(
    boxes: Tensor,
    stride: tuple[int, int],
    offset: tuple[float, float],
    width: Tensor,
    height: Tensor,
) -> Tensor:
    """(S, K) IoU of boxes with the closest of anchors of S sizes."""
    step, first = torch.tensor(stride).float(), torch.tensor(offset)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    place = ((middle - first) / step).round().clamp(min=0)
    away = (middle - first - place * step).abs()
    sides = boxes[:, 2:] - boxes[:, :2]
    size = torch.stack((width, height), 1).unsqueeze(1)
    overlap = torch.minimum((size + sides) / 2 - away, size)
    overlap = torch.minimum(overlap, sides).clamp(min=0).prod(2)
    return overlap / (size.prod(2) + sides.prod(1) - overlap)
