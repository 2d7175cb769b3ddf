"""What the match costs see of a batch, padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from ..ot import valid_mask
from .bad_numbers import image_names, is_good, is_good_box
from .instances import (
    check_instances,
    image_sizes,
    pad_boxes,
    pad_labels,
    widen,
)

__all__ = ['MatchBatch', 'plain']


class MatchBatch:
    """What the match costs see of a batch of images.

    Floating tensors are float32 or wider and carry no gradient; the bad
    numbers of ``boxes`` and ``scores`` are NaN. Where there are several
    layers, entry ``l * len(gts) + b`` is layer l of image b.

    Args:
        gts (Sequence[InstanceData]): Per image, ``bboxes`` (m, 4) xyxy,
            ``labels`` (m,), ``masks``.
        metas (Sequence[dict]): Per image.
        layers (int): Number of layers. Defaults to 1.
    """

    num_preds: list[int]
    boxes: Tensor
    scores: Tensor
    preds: list[InstanceData]

    def __init__(
        self,
        gts: Sequence[InstanceData],
        metas: Sequence[dict],
        layers: int = 1,
    ) -> None:
        check_instances('batch_gt_instances', gts)
        self._gts, self.layers = gts, layers
        self._metas = [meta or {} for meta in metas]
        self._names = image_names(self._metas)
        self.num_gts = [len(gt) for gt in gts] * layers

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
            part = self.part(entries)
            part._names = self.names[entries]
            yield entries, part

    def part(self, entries: slice) -> MatchBatch:
        """The batch of some entries."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int:
        """Columns of the scores, 0 without scores."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Device of the predictions."""
        raise NotImplementedError

    @cached_property
    def gts(self) -> list[InstanceData]:
        """The ground truths of each entry, for costs that take one image."""
        gts = [plain(gt) for gt in self._gts]
        if self._has_boxes:
            for gt, boxes in zip(gts, self.gt_boxes, strict=False):
                gt.bboxes = boxes[: len(gt)]
        return gts * self.layers

    @property
    def metas(self) -> list[dict]:
        """The meta information of each entry."""
        return self._metas * self.layers

    @property
    def names(self) -> list[str]:
        """The name of the image of each entry."""
        return self._names * self.layers

    @cached_property
    def gt_boxes(self) -> Tensor:
        """(B, M, 4) boxes, xyxy; zero in the padding and where one is bad."""
        boxes = self._given_boxes
        boxes = torch.where(is_good(boxes).all(2, True), boxes, 0.0)
        return boxes.repeat(self.layers, 1, 1)

    @cached_property
    def gt_labels(self) -> Tensor:
        """(B, M) int64, zero in the padding."""
        labels = pad_labels(self._gts, self.scores.shape[2], self._names)
        return labels.repeat(self.layers, 1)

    @cached_property
    def image_sizes(self) -> Tensor:
        """(B, 1, 4) width, height, width, height in pixels."""
        sizes = image_sizes(self._metas, self.boxes)
        return sizes.repeat(self.layers, 1, 1)

    @cached_property
    def gt_counts(self) -> Tensor:
        """(B,) int64 numbers of ground truths, for the host."""
        return torch.tensor(self.num_gts)

    def pred_valid(self) -> Tensor:
        """(B, N) bool, False for padding."""
        return valid_mask(self.num_preds, self.device)

    def gt_valid(self) -> Tensor:
        """(B, M) bool, False for padding and for boxes that are no good."""
        valid = self._is_real
        if self._has_boxes:
            valid = valid & is_good_box(self._given_boxes)
        return valid.repeat(self.layers, 1)

    def gt_flaws(self) -> Tensor:
        """(2, B) int64 numbers of boxes that are bad, and without an area."""
        if not self._has_boxes:
            return torch.zeros(
                (2, len(self)), dtype=torch.int64, device=self.device
            )
        bad = ~is_good(self._given_boxes).all(2)
        flat = ~bad & ~is_good_box(self._given_boxes)
        flaws = (torch.stack((bad, flat)) & self._is_real).sum(2)
        return flaws.repeat(1, self.layers)

    def bad_gts(self) -> Iterator[tuple[int, int, list[float]]]:
        """Yields image, index and box of ground truths whose box is bad."""
        if self._has_boxes:
            boxes = self._given_boxes
            bad = (~is_good(boxes).all(2)).nonzero().tolist()
            for image, gt in bad:
                yield image, gt, boxes[image, gt].tolist()

    @cached_property
    def _is_real(self) -> Tensor:
        """(B, M) bool of one layer, False for padding."""
        return valid_mask([len(gt) for gt in self._gts], self.device)

    @property
    def _has_boxes(self) -> bool:
        return 'bboxes' in self._gts[0]

    @cached_property
    def _given_boxes(self) -> Tensor:
        """(B, M, 4) boxes of one layer, xyxy, zero in the padding."""
        return pad_boxes(self._gts)


def plain(instances: InstanceData) -> InstanceData:
    """Box tensors instead of box objects; numbers are at least float32."""
    result = InstanceData(metainfo=instances.metainfo)
    for name, value in instances.items():
        numbers = name in ('bboxes', 'priors', 'scores')
        if numbers:
            value = get_box_tensor(value)
        if isinstance(value, Tensor):
            numbers = numbers or value.is_floating_point()
            value = widen(value) if numbers else value
        result.set_field(value, name)
    return result
