"""Which pairs may be matched at all, registered in ``TASK_UTILS``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_
from typing import Any, Callable

import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor

from .._options import check_choice
from ..inputs.match_batch import MatchBatch
from ..inputs.native_overlaps import bits_above
from ..native import can_read
from .exclusion import near_bits, near_points, pack
from .pairs import overlaps

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

# (B, M, N) bool of a batch; what the padding holds does not matter. A rule may
# have a method ``bits``, which says the same as bits, or None.
Candidates = Callable[[MatchBatch], Tensor]

_PRIORS = ('points', 'boxes')


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
        """(B, N, 2) coordinates x and y, (1, N, 2) if all are the same."""
        priors = _once(batch.priors)
        points = priors[..., :2]
        if self.are_boxes(batch):
            points = (points + priors[..., 2:4]) / 2
        return points

    def region(self, batch: MatchBatch) -> tuple[Any, ...]:
        """The arguments of :func:`near_points` after the batch."""
        raise NotImplementedError

    def __call__(self, batch: MatchBatch) -> Tensor:
        """(B, M, N) bool."""
        return near_points(batch, *self.region(batch))

    def bits(self, batch: MatchBatch) -> Tensor | None:
        """The same as bits, see :mod:`.exclusion`, or None."""
        return near_bits(batch, *self.region(batch))


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

    def region(self, batch: MatchBatch) -> tuple[Any, ...]:
        """The box without its margin."""
        low, high = batch.gt_boxes.split(2, -1)
        bounds = torch.cat((low + self.margin, high - self.margin), dim=-1)
        return self.points(batch), 0.0, bounds, self.of_any


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

    def region(self, batch: MatchBatch) -> tuple[Any, ...]:
        """The centre, which points reach."""
        priors, reach = _once(batch.priors), batch.prior_strides
        if not self.are_boxes(batch):
            reach = priors[..., 2:4]
        elif reach is None:
            left_top, right_bottom = priors[..., :4].split(2, -1)
            reach = (right_bottom - left_top) / self.sides
        low, high = batch.gt_boxes.split(2, -1)
        center = torch.cat((low + high, low + high), dim=-1) / 2
        return self.points(batch), self.radius * _once(reach), center


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
        return overlaps(batch, 'iou') > self.threshold

    def bits(self, batch: MatchBatch) -> Tensor | None:
        """The same as bits, see :mod:`.exclusion`, or None."""
        return bits_above(batch, self.threshold)


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

    def bits(self, batch: MatchBatch) -> Tensor:
        """The same as bits, see :mod:`.exclusion`."""
        return reduce(or_, (_bits_of(rule, batch) for rule in self.rules))


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

    def pairs(self, batch: MatchBatch) -> Tensor:
        """(B, M, N) bool, or as bits where the library can read those."""
        if can_read(batch.gt_boxes):
            return reduce(and_, (_bits_of(rule, batch) for rule in self.rules))
        return self(batch)


def _bits_of(rule: Candidates, batch: MatchBatch) -> Tensor:
    # Not those of a base class whose rule is another one.
    of_rule = (vars(base) for base in type(rule).__mro__)
    own = next(names for names in of_rule if {'__call__', 'bits'} & {*names})
    bits = rule.bits(batch) if 'bits' in own else None  # type: ignore
    return pack(rule(batch)) if bits is None else bits


def _once(values: Tensor) -> Tensor:
    """The first image of values that are the same for all."""
    return values[:1] if values.stride(0) == 0 else values


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
