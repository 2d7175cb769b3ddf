"""What the match costs see of a batch, padded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from ..native import BlockedBoxes, cut_boxes
from ..ot import valid_mask
from .bad_numbers import mark_bad_numbers
from .ground_truths import GroundTruths

__all__ = ['MatchBatch']


class MatchBatch:
    """What the match costs see of a batch of images.

    Floating tensors are float32 or wider and carry no gradient; the bad
    numbers of ``boxes`` and ``scores`` are NaN. Where there are several
    layers, entry ``l * len(ground_truths) + b`` is layer l of image b.

    Args:
        ground_truths (GroundTruths): Of the images.
        layers (int): Number of layers. Defaults to 1.
    """

    num_preds: list[int]
    boxes: Tensor
    raw_scores: Tensor  # as they are given, bad numbers too
    preds: list[InstanceData]

    def __init__(self, ground_truths: GroundTruths, layers: int = 1) -> None:
        self.ground_truths, self.layers = ground_truths, layers
        self.num_gts = ground_truths.counts * layers

    def __len__(self) -> int:
        return len(self.num_gts)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, N, M + 1), the shape of a plan."""
        return len(self), max(self.num_preds), max(self.num_gts) + 1

    def entry_bytes(self, copies: int) -> int:
        """What the matching of an entry is taken for, whatever it holds.

        Args:
            copies (int): How often the solver holds something of the size of
                the plan.

        Returns:
            int: ``4 * N * (copies * (M + 1) + 5 * C)`` bytes, with the number
            C of the scores' classes, 0 without scores.
        """
        _, N, columns = self.shape
        return 4 * N * (copies * columns + 5 * self.num_classes)

    def parts(
        self, budget: int, copies: int
    ) -> Iterator[tuple[slice, MatchBatch]]:
        """Yields the batch in parts that can be matched in a given memory.

        A part has at least one entry.

        Args:
            budget (int): Bytes.
            copies (int): See :meth:`entry_bytes`.

        Yields:
            tuple[slice, MatchBatch]: The entries, and the batch of them.
        """
        step = max(budget // max(self.entry_bytes(copies), 1), 1)
        if step >= len(self):
            yield slice(None), self
            return
        for start in range(0, len(self), step):
            entries = slice(start, start + step)
            yield entries, self.part(entries)

    def part(self, entries: slice) -> MatchBatch:
        """The batch of some entries, as one layer."""
        images = list(range(len(self.ground_truths))) * self.layers
        return self._part(entries, self.ground_truths.select(images[entries]))

    def _part(self, entries: slice, ground_truths: GroundTruths) -> MatchBatch:
        raise NotImplementedError

    @property
    def are_priors(self) -> bool:
        """Whether the boxes are anchors, and no predictions of a model."""
        return False

    @property
    def num_classes(self) -> int:
        """Columns of the scores, 0 without scores."""
        raise NotImplementedError

    @property
    def score_kind(self) -> str | None:
        """``'logits'`` where the head says that its scores are, or None."""
        return None

    @property
    def prior_kind(self) -> str | None:
        """``'points'`` or ``'boxes'`` where the head says it, or None."""
        return None

    @property
    def device(self) -> torch.device:
        """Device of the predictions."""
        return self.ground_truths.device

    @property
    def gts(self) -> list[InstanceData]:
        """The ground truths of each entry, for costs that take one image."""
        return self.ground_truths.matched * self.layers

    @property
    def metas(self) -> list[dict]:
        """The meta information of each entry."""
        return self.ground_truths.metas * self.layers

    @property
    def names(self) -> list[str]:
        """The name of the image of each entry."""
        return list(self.ground_truths.names) * self.layers

    @cached_property
    def scores(self) -> Tensor:
        """(B, N, C) logits, or what the costs are told that they are."""
        return mark_bad_numbers(self.raw_scores)

    @property
    def ignored(self) -> list[InstanceData | None]:
        """The ignored boxes of each entry."""
        return list(self.ground_truths.ignored) * self.layers

    @cached_property
    def blocked_boxes(self) -> BlockedBoxes | None:
        """The boxes for the compiled library; None if it cannot read them."""
        return cut_boxes(self.boxes)

    @cached_property
    def gt_boxes(self) -> Tensor:
        """(B, M, 4) boxes, xyxy; zero in the padding and where one is bad."""
        return self._of_entries(self.ground_truths.matched_boxes)

    @cached_property
    def gt_labels(self) -> Tensor:
        """(B, M) int64, zero in the padding."""
        labels = self.ground_truths.labels(self.num_classes)
        return self._of_entries(labels)

    @property
    def priors(self) -> Tensor:
        """(B, N, 4) boxes xyxy, or points and strides.

        Raises:
            ValueError: If there are none: queries have none.
        """
        raise ValueError(
            'candidates by priors need anchors or points, which the queries '
            "of a decoder are not; take dict(type='IoUAbove')"
        )

    @property
    def prior_strides(self) -> Tensor | None:
        """(B, N, 2) strides of priors that are boxes, where they are said."""
        return None

    def gt_field(self, name: str) -> Tensor:
        """(B, M) float32 numbers, a field of the instances; 0 as padding."""
        return self._of_entries(self.ground_truths.numbers(name))

    @cached_property
    def image_sizes(self) -> Tensor:
        """(B, 1, 4) width, height, width, height in pixels."""
        sizes = self.ground_truths.image_sizes.to(self.boxes.dtype)
        return self._of_entries(sizes)

    @cached_property
    def gt_counts(self) -> Tensor:
        """(B,) int64 numbers of ground truths, for the host."""
        return torch.tensor(self.num_gts)

    def pred_valid(self) -> Tensor:
        """(B, N) bool, False for padding."""
        return valid_mask(self.num_preds, self.device)

    @property
    def head_counts(self) -> list[int]:
        """How many predictions the head has for each entry."""
        return self.num_preds

    def of_preds(self, name: str, values: Tensor) -> Tensor:
        """What the predictions have of one value per prediction of the head.

        Args:
            name (str): What it is called, for the message.
            values (Tensor): (K,).

        Returns:
            Tensor: (N,), or (B, N) where some images lack some of the K.

        Raises:
            ValueError: If the head has another number of predictions.
        """
        for image, count in zip(self.names, self.head_counts):
            if count != len(values):
                raise ValueError(
                    f'{name} must be one number or one per prediction '
                    f'({count}), got shape {tuple(values.shape)} for '
                    f"{image}. mmdet's heads take away the anchors outside of "
                    'an image: give one number, or set allowed_border=-1 in '
                    'train_cfg and pad all images to one size'
                )
        return values

    def gt_valid(self) -> Tensor:
        """(B, M) bool, False for padding and for boxes that are no good."""
        return self._of_entries(self.ground_truths.valid)

    def gt_flaws(self) -> Tensor:
        """(2, B) int64 numbers of boxes that are bad, and without an area."""
        return self.ground_truths.flaws.repeat(1, self.layers)

    def bad_gts(self) -> Iterator[tuple[int, int, list[float]]]:
        """Yields image, index and box of ground truths whose box is bad."""
        return self.ground_truths.bad_boxes()

    def _of_entries(self, of_images: Tensor) -> Tensor:
        """The same for every layer."""
        if self.layers == 1:
            return of_images
        return of_images.repeat(self.layers, *[1] * (of_images.dim() - 1))
