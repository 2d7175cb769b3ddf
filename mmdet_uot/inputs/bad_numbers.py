"""Numbers that are NaN, infinite or huge: which they are, and the log."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from ..ot.device import can_look
from .arrivals import Arrivals

__all__ = [
    'LARGEST',
    'BadNumberLog',
    'describe_predictions',
    'drop_bad_numbers',
    'is_good',
    'is_good_box',
    'mark_bad_numbers',
]

# Areas of larger boxes, or sums of larger scores, overflow in float32: such
# numbers are as bad as infinite ones.
LARGEST = 1e15

# After so many warnings only every thousandth image is named.
_NAMED = 1000


def is_good(numbers: Tensor) -> Tensor:
    """bool, whether numbers are at most ``LARGEST`` in magnitude."""
    return (numbers <= LARGEST) & (numbers >= -LARGEST)


def is_good_box(boxes: Tensor) -> Tensor:
    """(...) bool, whether (..., 4) boxes, xyxy, are good and have an area."""
    has_area = (boxes[..., 2:] > boxes[..., :2]).all(-1)
    return is_good(boxes).all(-1) & has_area


class BadNumberLog:
    """Warns of images with bad numbers.

    A GPU's counts are read when they have arrived, at the next call, so that
    nothing waits for the device.

    Attributes:
        num_images (int): Images of which was told so far.
        num_entries (int): Sum of their first counts.

    Args:
        describe (Callable): Makes the text of an image from its counts
            (K, E), those of its E entries in the batch; none, if empty.
    """

    def __init__(self, describe: Callable[[np.ndarray], str]) -> None:
        self.describe = describe
        self.num_images = 0
        self.num_entries = 0
        self._arrivals = Arrivals()

    def __reduce__(self) -> tuple:
        # Copies of a model (EMA) start anew.
        return BadNumberLog, (self.describe,)

    def add(self, counts: Tensor, names: Sequence[str]) -> None:
        """Reports a batch, now or when its counts have arrived.

        Args:
            counts (Tensor): (K, B) numbers of what is bad in each entry.
            names (Sequence[str]): Names of the entries' images; several
                entries may be of one image.
        """
        self._arrivals.put(counts, names)
        for numbers, names_of in self._arrivals.pop():
            self._warn(numbers, names_of)

    def _warn(self, numbers: np.ndarray, names: Sequence[str]) -> None:
        images: dict[str, list[int]] = {}
        for entry in np.flatnonzero(numbers.any(0)):
            images.setdefault(names[entry], []).append(entry)
        for name, entries in images.items():
            text = self.describe(numbers[:, entries])
            if not text:
                continue
            self.num_images += 1
            self.num_entries += int(numbers[0, entries].sum())
            if self.num_images > _NAMED and self.num_images % 1000:
                continue
            print_log(
                f'{name}: {text}. Images so far: {self.num_images}.',
                logger='current',
                level=logging.WARNING,
            )


def mark_bad_numbers(numbers: Tensor) -> Tensor:
    """NaN in place of all bad numbers, so that what is made of them is NaN.

    Numbers that repeat one image go on doing so.
    """
    if len(numbers) > 1 and numbers.stride(0) == 0:
        return mark_bad_numbers(numbers[:1]).expand_as(numbers)
    if _hold_none(numbers):
        return numbers
    return torch.where(is_good(numbers), numbers, math.nan)


def drop_bad_numbers(
    scores: Tensor,
    boxes: Tensor,
    log: BadNumberLog,
    names: Sequence[str],
    axis: int = 0,
) -> tuple[Tensor, Tensor]:
    """Zero, without gradient, in place of bad numbers in predictions.

    If all are bad (a training that has diverged), they become NaN, without
    gradient too, so that the loss shows it.

    Args:
        scores (Tensor): Class scores of any shape.
        boxes (Tensor): Boxes of any shape.
        log (BadNumberLog): Of :func:`describe_predictions`; is told.
        names (Sequence[str]): Names of the images.
        axis (int): Axis of the images. Defaults to 0.

    Returns:
        tuple[Tensor, Tensor]: Scores and boxes.
    """
    good_scores, of_scores = _drop(scores, axis)
    good_boxes, of_boxes = _drop(boxes, axis)
    counts = of_scores, of_boxes
    told = [count for count in counts if count is not None]
    if told:
        nothing = torch.zeros_like(told[0])
        log.add(
            torch.stack([nothing if x is None else x for x in counts]), names
        )
    return good_scores, good_boxes


def describe_predictions(counts: np.ndarray) -> str:
    """What the log says of bad scores and boxes."""
    bad = zip(('scores', 'boxes'), counts.sum(1))
    numbers = ', '.join(f'{count} of {what}' for what, count in bad if count)
    return (
        f'predicted numbers that are not finite: {numbers}; they count as 0 '
        'in the loss'
    )


def _drop(pred: Tensor, axis: int) -> tuple[Tensor, Tensor | None]:
    """A prediction without bad numbers, and how many each image had."""
    numbers = pred.detach()
    if _hold_none(numbers):
        return pred, None
    good = is_good(numbers)
    instead = torch.where(good.any(), 0.0, math.nan).to(pred)
    count = (~good).movedim(axis, 0).flatten(1).sum(1)
    return torch.where(good, pred, instead), count


def _hold_none(numbers: Tensor) -> bool:
    """Tells that none is bad; a GPU's numbers are not read, and may be."""
    if numbers.numel() == 0:
        return True
    if not can_look(numbers):
        return False
    if numbers.dtype is torch.float16:
        numbers = numbers.float()  # torch 2.1 lacks aminmax of it on a CPU
    least, most = numbers.aminmax()
    return bool(is_good(least) & is_good(most))
