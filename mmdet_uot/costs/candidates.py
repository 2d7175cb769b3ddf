"""Which pairs may be matched at all, registered in ``TASK_UTILS``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_
from typing import Callable

import torch
from mmdet.models.task_modules.assigners.match_cost import IoUCost
from mmdet.registry import TASK_UTILS
from torch import Tensor

from .._options import check_choice
from ..inputs.match_batch import MatchBatch
from .exclusion import near_points
from .whole_batch import add_cost

__all__ = [
    'AllCandidates',
    'AnyCandidate',
    'Candidates',
    'CenterRegion',
    'IoUAbove',
    'InsideBox',
    'build_candidates',
    'name_of',
]

# (B, M, N) bool of a batch; what the padding holds does not matter.
Candidates = Callable[[MatchBatch], Tensor]

_PRIORS = ('points', 'boxes')
_IOU = IoUCost(iou_mode='iou', weight=-1.0)


class _ByPriors:
    """A rule about where the prior of a prediction lies.

    Args:
        priors (str): What ``priors`` holds: ``'points'`` (x, y, stride,
            stride), as in YOLOX and RTMDet, or ``'boxes'`` xyxy, of which the
            centre counts, as in TOOD and SSD. The heads of this package say
            it themselves. Defaults to ``'points'``.
    """

    def __init__(self, *, priors: str = 'points') -> None:
        check_choice('priors', priors, _PRIORS)
        self.priors = priors

    def are_boxes(self, batch: MatchBatch) -> bool:
        """Whether the priors are boxes."""
        return (batch.prior_kind or self.priors) == 'boxes'

    def points(self, batch: MatchBatch) -> Tensor:
        """(B, N, 2) coordinates x and y."""
        points = batch.priors[..., :2]
        if self.are_boxes(batch):
            points = (points + batch.priors[..., 2:4]) / 2
        return points


@TASK_UTILS.register_module()
class InsideBox(_ByPriors):
    """The prior of the prediction lies in the box of the ground truth.

    Args:
        margin (float): In pixels; it must be more than this from all sides.
            Defaults to 0.
        of_any (bool): Whether it may lie in the box of any other ground truth
            as well. Defaults to False.
        priors (str): ``'points'`` or ``'boxes'``. Defaults to ``'points'``.
    """

    def __init__(
        self,
        *,
        margin: float = 0.0,
        of_any: bool = False,
        priors: str = 'points',
    ) -> None:
        super().__init__(priors=priors)
        self.margin, self.of_any = margin, of_any

    def __call__(self, batch: MatchBatch) -> Tensor:
        """(B, M, N) bool."""
        low, high = batch.gt_boxes.split(2, -1)
        bounds = torch.cat((low + self.margin, high - self.margin), dim=-1)
        return near_points(batch, self.points(batch), 0.0, bounds, self.of_any)


@TASK_UTILS.register_module()
class CenterRegion(_ByPriors):
    """The prior lies near the centre of the ground truth.

    Args:
        radius (float): Half the side of the region, in strides. Defaults to
            2.5, as in SimOTA and OTA.
        sides (float): For ``priors='boxes'`` the side of a box as a multiple
            of its stride, such as 8 for TOOD's anchors, where the head does
            not say the strides. Defaults to 1.
        priors (str): ``'points'`` or ``'boxes'``. Defaults to ``'points'``.
    """

    def __init__(
        self,
        *,
        radius: float = 2.5,
        sides: float = 1.0,
        priors: str = 'points',
    ) -> None:
        super().__init__(priors=priors)
        self.radius, self.sides = radius, sides

    def __call__(self, batch: MatchBatch) -> Tensor:
        """(B, M, N) bool."""
        reach = batch.prior_strides
        if not self.are_boxes(batch):
            reach = batch.priors[..., 2:4]
        elif reach is None:
            left_top, right_bottom = batch.priors[..., :4].split(2, -1)
            reach = (right_bottom - left_top) / self.sides
        low, high = batch.gt_boxes.split(2, -1)
        center = (low + high) / 2
        return near_points(
            batch,
            self.points(batch),
            self.radius * reach,
            torch.cat((center, center), dim=-1),
        )


@TASK_UTILS.register_module()
class IoUAbove:
    """The IoU of prediction and ground truth exceeds a threshold.

    Args:
        threshold (float): In [0, 1). Defaults to 0: the boxes overlap.
    """

    def __init__(self, *, threshold: float = 0.0) -> None:
        self.threshold = threshold

    def __call__(self, batch: MatchBatch) -> Tensor:
        """(B, M, N) bool."""
        B, N, columns = batch.shape
        ious = torch.zeros((B, columns - 1, N), device=batch.device)
        add_cost(_IOU, batch, batch.gt_valid(), ious)
        return ious > self.threshold


@TASK_UTILS.register_module()
class AnyCandidate:
    """At least one of several rules holds.

    Args:
        rules (Sequence[dict]): Their configs.
    """

    def __init__(self, *, rules: Sequence[dict]) -> None:
        self.rules: list[Candidates] = [TASK_UTILS.build(x) for x in rules]

    def __str__(self) -> str:
        return ' or '.join(map(name_of, self.rules))

    def __call__(self, batch: MatchBatch) -> Tensor:
        """(B, M, N) bool."""
        return reduce(or_, (rule(batch) for rule in self.rules))


class AllCandidates:
    """Every one of several rules holds.

    Args:
        rules (Sequence[Candidates]): At least one.
    """

    def __init__(self, rules: Sequence[Candidates]) -> None:
        self.rules = rules

    def __call__(self, batch: MatchBatch) -> Tensor:
        """(B, M, N) bool."""
        return reduce(and_, (rule(batch) for rule in self.rules))


def name_of(rule: Candidates) -> str:
    """What a rule is called where it is told of."""
    return str(rule) if isinstance(rule, AnyCandidate) else type(rule).__name__


def build_candidates(
    option: dict | Sequence[dict] | None,
) -> AllCandidates | None:
    """One rule from the config of one, or of several that must all hold.

    Raises:
        TypeError: If it is no config, nor a sequence of them.
    """
    if option is None:
        return None
    configs = [option] if isinstance(option, dict) else option
    if not isinstance(configs, Sequence) or not all(
        isinstance(config, dict) for config in configs
    ):
        raise TypeError(
            'candidates must be the config of a rule, such as '
            f"dict(type='InsideBox'), or a sequence of them, got {option!r}"
        )
    return AllCandidates([TASK_UTILS.build(config) for config in configs])
