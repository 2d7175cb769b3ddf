"""What the option ``gt_mass`` may say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Union

from mmdet.registry import TASK_UTILS
from torch import Tensor

from ..inputs.match_batch import MatchBatch
from .asked import FieldMass

__all__ = ['GtMass', 'MassRange', 'most_asked', 'numbers_of', 'parse_gt_mass']

# One number for all ground truths, or what gives (B, M) for a batch.
Asked = Union[float, Callable[[MatchBatch], Tensor]]
# The option: also a field, a config, or two of these.
GtMass = Union[float, str, dict, Callable[[MatchBatch], Tensor], Sequence]


class MassRange(NamedTuple):
    """At least and at most so many predictions; no constraint between."""

    least: Asked
    most: Asked


def parse_gt_mass(value: Any) -> Asked | MassRange:
    """What the option says of the masses of ground truths.

    Args:
        value (float | str | dict | Callable | Sequence): A number, a field of
            ``gt_instances``, the config of a class of ``TASK_UTILS``, one of
            its objects, or two of these.

    Raises:
        TypeError: If it is of another type.
        ValueError: If a number is out of its range.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        asked = _parse_one(value)
        if isinstance(asked, float) and not 0 < asked < math.inf:
            raise ValueError(
                'gt_mass must be a positive and finite number of '
                f'predictions, got {value}; 1 asks for one, as the paper does'
            )
        return asked
    ends = [math.inf if end == 'inf' else _parse_one(end) for end in value]
    low, high = (ends + [0.0, 0.0])[:2]
    numbers = [end for end in ends if isinstance(end, float)]
    if (
        len(ends) != 2
        or not all(end >= 0 for end in numbers)
        or low == math.inf
        or high == 0
        or (len(numbers) == 2 and numbers[0] > numbers[1])
    ):
        raise ValueError(
            'a range of gt_mass must be (least, greatest) with 0 <= least <= '
            f"greatest <= 'inf', got {value!r}"
        )
    return low if low == high else MassRange(low, high)


def _parse_one(value: Any) -> Asked:
    if isinstance(value, dict):
        asked: Asked = TASK_UTILS.build(value)
        return asked
    if isinstance(value, str):
        return FieldMass(value)
    if callable(value):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            'gt_mass must be a number, a field of gt_instances or the config '
            "of a mass such as dict(type='DynamicMass'), or two of these as "
            f'(least, greatest), got {value!r}'
        )
    return float(value)


def most_asked(asked: Asked | MassRange) -> int | None:
    """The greatest number asked for, if all are known to be whole."""
    if isinstance(asked, MassRange):
        ends = [most_asked(end) for end in asked]
        return None if None in ends else ends[0]
    if isinstance(asked, float):
        if math.isinf(asked):
            return 0
        return int(asked) if asked.is_integer() else None
    return getattr(asked, 'most_asked', None)


def numbers_of(asked: Asked, batch: MatchBatch) -> float | Tensor:
    """One number, or (B, M)."""
    if isinstance(asked, float):
        return asked
    numbers = asked(batch)
    B, _, columns = batch.shape
    if tuple(numbers.shape) != (B, columns - 1):
        raise ValueError(
            f'{type(asked).__name__} must return {(B, columns - 1)} for a '
            f'batch of {B} images, got {tuple(numbers.shape)}'
        )
    return numbers
