"""What the match costs see of a batch, padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from ..instances import image_sizes, pad_boxes, pad_labels
from ..ot import valid_mask

__all__ = ['MatchBatch', 'plain', 'widen']


class MatchBatch:
    """What the match costs see of a batch of images.

    Floating tensors are float32 or wider and carry no gradient. Where there
    are several layers, entry ``l * len(gts) + b`` is layer l of image b.

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

    # The cost of a term, the sum of the terms, the problem and the plan; at
    # most three at a time, and smaller things.
    COPIES = 4

    def __init__(
        self,
        gts: Sequence[InstanceData],
        metas: Sequence[dict],
        layers: int = 1,
    ) -> None:
        self._gts, self._metas, self.layers = gts, metas, layers
        self.num_gts = [len(gt) for gt in gts] * layers

    def __len__(self) -> int:
        return len(self.num_gts)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, N, M + 1), the shape of a plan."""
        return len(self), max(self.num_preds), max(self.num_gts) + 1

    def parts(self, budget: int) -> Iterator[tuple[slice, MatchBatch]]:
        """Yields the batch in parts that can be matched in a given memory.

        An entry is taken for ``4 * N * (M + 1) * COPIES`` bytes, whatever it
        holds; a part has at least one.

        Args:
            budget (int): Bytes.

        Yields:
            tuple[slice, MatchBatch]: The entries, and the batch of them.
        """
        _, N, columns = self.shape
        step = max(budget // max(4 * N * columns * self.COPIES, 1), 1)
        if step >= len(self):
            yield slice(None), self
            return
        for start in range(0, len(self), step):
            entries = slice(start, start + step)
            yield entries, self.part(entries)

    def part(self, entries: slice) -> MatchBatch:
        """The batch of some entries."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Device of the predictions."""
        raise NotImplementedError

    @cached_property
    def gts(self) -> list[InstanceData]:
        """The ground truths of each entry, for costs that take one image."""
        return [plain(gt) for gt in self._gts] * self.layers

    @property
    def metas(self) -> list[dict]:
        """The meta information of each entry."""
        return list(self._metas) * self.layers

    @cached_property
    def gt_boxes(self) -> Tensor:
        """(B, M, 4) boxes, xyxy, zero in the padding."""
        return widen(pad_boxes(self._gts)).repeat(self.layers, 1, 1)

    @cached_property
    def gt_labels(self) -> Tensor:
        """(B, M) int64, zero in the padding."""
        labels = pad_labels(self._gts, self.scores.shape[2])
        return labels.repeat(self.layers, 1)

    @cached_property
    def image_sizes(self) -> Tensor:
        """(B, 1, 4) width, height, width, height in pixels."""
        return image_sizes(self.metas, self.boxes)

    def pred_valid(self) -> Tensor:
        """(B, N) bool, False for padding."""
        return valid_mask(self.num_preds, self.device)

    def gt_valid(self) -> Tensor:
        """(B, M) bool, False for padding and for boxes that are not finite."""
        valid = valid_mask(self.num_gts, self.device)
        if 'bboxes' in self._gts[0]:
            valid &= self.gt_boxes.isfinite().all(2)
        return valid


def plain(instances: InstanceData) -> InstanceData:
    """Box tensors instead of box objects, float32 instead of half."""
    result = InstanceData(metainfo=instances.metainfo)
    for name, value in instances.items():
        if name in ('bboxes', 'priors'):
            value = get_box_tensor(value)
        if isinstance(value, Tensor):
            value = widen(value)
        result.set_field(value, name)
    return result


def widen(tensor: Tensor) -> Tensor:
    """At least float32, if it is floating, and without gradient."""
    tensor = tensor.detach()
    if tensor.is_floating_point():
        tensor = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
    return tensor
