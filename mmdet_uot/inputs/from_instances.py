"""Batches as heads give them: per image, or as the tensors of a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .bad_numbers import mark_bad_numbers
from .instances import check_instances, fields, widen
from .match_batch import MatchBatch, plain

__all__ = ['InstanceBatch', 'TensorBatch']


class InstanceBatch(MatchBatch):
    """A batch given as mmdet's instances.

    Predictions without ``bboxes`` are given their ``priors`` as boxes, so
    that box costs work on anchors.

    Args:
        preds (Sequence[InstanceData]): Per image, what the costs need of
            ``bboxes`` or ``priors``, ``scores``, ``masks``.
        gts (Sequence[InstanceData]): Per image.
        metas (Sequence[dict], optional): Per image.

    Raises:
        TypeError: If a sequence does not hold instances.
        ValueError: If the sequences are empty or of different lengths.
    """

    def __init__(
        self,
        preds: Sequence[InstanceData],
        gts: Sequence[InstanceData],
        metas: Sequence[dict] | None,
    ) -> None:
        check_instances('batch_pred_instances', preds)
        metas = [{}] * len(preds) if metas is None else metas
        if not len(preds) == len(gts) == len(metas) > 0:
            raise ValueError(
                'batch_pred_instances, batch_gt_instances and batch_img_metas '
                'must have one entry per image, got '
                f'{len(preds)}, {len(gts)} and {len(metas)}'
            )
        super().__init__(gts, metas)
        # One object given for several images (anchors) stays one object.
        given = {id(pred): _with_boxes(pred) for pred in preds}
        self.preds = [given[id(pred)] for pred in preds]
        self.num_preds = [len(pred) for pred in preds]

    def part(self, entries: slice) -> InstanceBatch:
        """The batch of some images."""
        return InstanceBatch(
            self.preds[entries], self._gts[entries], self._metas[entries]
        )

    @property
    def device(self) -> torch.device:
        """Device of the predictions."""
        for value in self.preds[0].values():
            if isinstance(value, Tensor):
                return value.device
        raise ValueError(
            'batch_pred_instances must hold tensors, such as `bboxes`, '
            f'`priors` or `scores`, got {sorted(self.preds[0].keys())}'
        )

    @property
    def num_classes(self) -> int:
        """Columns of the scores, 0 without scores."""
        scores = self.preds[0].get('scores')
        return scores.shape[-1] if isinstance(scores, Tensor) else 0

    @cached_property
    def boxes(self) -> Tensor:
        """(B, N, 4) predicted boxes or anchors, xyxy."""
        return self._stack_preds('bboxes', (4,))

    @cached_property
    def scores(self) -> Tensor:
        """(B, N, C) logits."""
        return self._stack_preds('scores')

    def _stack_preds(
        self, name: str, shape: tuple[int, ...] | None = None
    ) -> Tensor:
        tensors = fields(self.preds, name, shape, 'batch_pred_instances')
        if all(tensor is tensors[0] for tensor in tensors):
            numbers = mark_bad_numbers(tensors[0])
            return numbers.expand(len(tensors), *numbers.shape)
        return mark_bad_numbers(pad_sequence(tensors, batch_first=True))


class TensorBatch(MatchBatch):
    """A batch given as the tensors of a head with several layers.

    Args:
        scores (Tensor): (L, B, N, C) logits.
        boxes (Tensor): (L, B, N, 4) boxes, xyxy in pixels.
        gts (Sequence[InstanceData]): Per image.
        metas (Sequence[dict]): Per image.

    Raises:
        ValueError: If the sizes do not fit.
    """

    def __init__(
        self,
        scores: Tensor,
        boxes: Tensor,
        gts: Sequence[InstanceData],
        metas: Sequence[dict],
    ) -> None:
        B, shape = len(gts), tuple(scores.shape)
        if (
            len(shape) != 4
            or tuple(boxes.shape) != (*shape[:3], 4)
            or not shape[1] == B == len(metas)
            or 0 in shape[:2]
        ):
            raise ValueError(
                'scores must be (L, B, N, C) and boxes (L, B, N, 4) for '
                'batch_gt_instances and batch_img_metas of B images, got '
                f'{shape}, {tuple(boxes.shape)}, {B} and {len(metas)}'
            )
        super().__init__(gts, metas, layers=shape[0])
        self.scores = mark_bad_numbers(widen(scores.flatten(0, 1)))
        self.boxes = mark_bad_numbers(widen(boxes.flatten(0, 1)))
        self.num_preds = [scores.shape[2]] * len(self.num_gts)

    def part(self, entries: slice) -> TensorBatch:
        """The batch of some entries, as one layer."""
        return TensorBatch(
            self.scores[None, entries],
            self.boxes[None, entries],
            (list(self._gts) * self.layers)[entries],
            self.metas[entries],
        )

    @property
    def device(self) -> torch.device:
        """Device of the predictions."""
        return self.scores.device

    @property
    def num_classes(self) -> int:
        """Columns of the scores."""
        return self.scores.shape[2]

    @cached_property
    def preds(self) -> list[InstanceData]:
        """The predictions of each entry, for costs that take one image."""
        return [
            InstanceData(scores=scores, bboxes=boxes)
            for scores, boxes in zip(self.scores, self.boxes, strict=True)
        ]


def _with_boxes(pred: InstanceData) -> InstanceData:
    pred = plain(pred)
    if 'bboxes' not in pred and 'priors' in pred:
        pred.bboxes = pred.priors
    return pred
