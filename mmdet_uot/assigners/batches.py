"""Batches as heads give them: per image, or as the tensors of a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .batch import MatchBatch, plain, widen

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
        ValueError: If the sequences are empty or of different lengths.
    """

    def __init__(
        self,
        preds: Sequence[InstanceData],
        gts: Sequence[InstanceData],
        metas: Sequence[dict] | None,
    ) -> None:
        if metas is None:
            metas = [{}] * len(preds)
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
        values = self.preds[0].values()
        return next(v.device for v in values if isinstance(v, Tensor))

    @cached_property
    def boxes(self) -> Tensor:
        """(B, N, 4) predicted boxes or anchors, xyxy."""
        return self._stack_preds('bboxes')

    @cached_property
    def scores(self) -> Tensor:
        """(B, N, C) logits."""
        return self._stack_preds('scores')

    def _stack_preds(self, name: str) -> Tensor:
        tensors = [pred.get(name) for pred in self.preds]
        if any(tensor is None for tensor in tensors):
            raise ValueError(
                f'a match cost needs `{name}`, which the predictions lack; '
                f'they have {sorted(self.preds[0].keys())}. Leave the cost '
                'out of match_costs, or give them'
            )
        if all(tensor is tensors[0] for tensor in tensors):
            return tensors[0].expand(len(tensors), *tensors[0].shape)
        return pad_sequence(tensors, batch_first=True)


class TensorBatch(MatchBatch):
    """A batch given as the tensors of a head with several layers.

    Args:
        scores (Tensor): (L, B, N, C) logits.
        boxes (Tensor): (L, B, N, 4) boxes, xyxy in pixels.
        gts (Sequence[InstanceData]): Per image.
        metas (Sequence[dict]): Per image.
    """

    def __init__(
        self,
        scores: Tensor,
        boxes: Tensor,
        gts: Sequence[InstanceData],
        metas: Sequence[dict],
    ) -> None:
        super().__init__(gts, metas, layers=len(scores))
        self.scores = widen(scores.flatten(0, 1))
        self.boxes = widen(boxes.flatten(0, 1))
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
