"""A batch given image by image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .bad_numbers import mark_bad_numbers
from .ground_truths import GroundTruths
from .instances import check_instances, check_lengths, fields, plain
from .match_batch import MatchBatch

__all__ = ['InstanceBatch']


class InstanceBatch(MatchBatch):
    """A batch given as mmdet's instances.

    Predictions without ``bboxes`` are given their ``priors`` as boxes, so
    that box costs work on anchors.

    Args:
        preds (Sequence[InstanceData]): Per image, what the costs need of
            ``bboxes`` or ``priors``, ``scores``, ``masks``; ``strides`` (n,
            2) of priors that are boxes. Where a head leaves out some of its
            predictions, ``index`` (n,) int64 are the places of the others,
            and the meta information ``out_of`` is how many there were. The
            meta information ``score_kind`` and ``prior_kind`` says what
            ``scores`` and ``priors`` are.
        gts (Sequence[InstanceData]): Per image; may be
            :class:`GroundTruths`, which have metas of their own.
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
        check_lengths(preds, gts, metas)
        # One object given for several images (anchors) stays one object.
        given = {id(pred): _with_boxes(pred) for pred in preds}
        self.preds = [given[id(pred)] for pred in preds]
        self.num_preds = [len(pred) for pred in preds]
        device = _device_of(self.preds[0])
        super().__init__(GroundTruths.of(gts, metas, device))

    def _part(
        self, entries: slice, ground_truths: GroundTruths
    ) -> InstanceBatch:
        return InstanceBatch(
            self.preds[entries], ground_truths, ground_truths.metas
        )

    @property
    def are_priors(self) -> bool:
        """See :class:`MatchBatch`."""
        pred = self.preds[0]
        return 'priors' in pred and pred.bboxes is pred.priors

    @property
    def num_classes(self) -> int:
        """Columns of the scores, 0 without scores."""
        scores = self.preds[0].get('scores')
        return scores.shape[-1] if isinstance(scores, Tensor) else 0

    @property
    def score_kind(self) -> str | None:
        """See :class:`MatchBatch`."""
        return self.preds[0].get('score_kind')

    @property
    def prior_kind(self) -> str | None:
        """See :class:`MatchBatch`."""
        return self.preds[0].get('prior_kind')

    @cached_property
    def boxes(self) -> Tensor:  # type: ignore[override]
        """(B, N, 4) predicted boxes or anchors, xyxy."""
        return mark_bad_numbers(self._stack_preds('bboxes', (4,)))

    @cached_property
    def raw_scores(self) -> Tensor:  # type: ignore[override]
        """See :class:`MatchBatch`."""
        return self._stack_preds('scores')

    @cached_property
    def priors(self) -> Tensor:
        """See :class:`MatchBatch`."""
        return mark_bad_numbers(self._stack_preds('priors'))

    @cached_property
    def prior_strides(self) -> Tensor | None:
        """See :class:`MatchBatch`."""
        if 'strides' not in self.preds[0]:
            return None
        return mark_bad_numbers(self._stack_preds('strides', (2,)))

    @property
    def head_counts(self) -> list[int]:
        """How many predictions the head has for each image."""
        return [pred.get('out_of', len(pred)) for pred in self.preds]

    def of_preds(self, name: str, values: Tensor) -> Tensor:
        """See :meth:`MatchBatch.of_preds`."""
        values = super().of_preds(name, values)
        indices = [pred.get('index') for pred in self.preds]
        if all(index is None for index in indices):
            return values
        rows = [values if i is None else values[i] for i in indices]
        return pad_sequence(rows, batch_first=True)

    def _stack_preds(
        self, name: str, shape: tuple[int, ...] | None = None
    ) -> Tensor:
        tensors = fields(self.preds, name, shape, 'batch_pred_instances')
        if all(tensor is tensors[0] for tensor in tensors):
            return tensors[0].expand(len(tensors), *tensors[0].shape)
        return pad_sequence(tensors, batch_first=True)


def _with_boxes(pred: InstanceData) -> InstanceData:
    pred = plain(pred)
    if 'bboxes' not in pred and 'priors' in pred:
        pred.bboxes = pred.priors
    return pred


def _device_of(pred: InstanceData) -> torch.device:
    for value in pred.values():
        if isinstance(value, Tensor):
            return value.device
    raise ValueError(
        'batch_pred_instances must hold tensors, such as `bboxes`, `priors` '
        f'or `scores`, got {sorted(pred.keys())}'
    )
