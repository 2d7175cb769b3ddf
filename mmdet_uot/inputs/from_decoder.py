"""A batch given as the tensors of a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from mmengine.structures import InstanceData
from torch import Tensor

from .bad_numbers import mark_bad_numbers
from .ground_truths import GroundTruths
from .instances import widen
from .match_batch import MatchBatch

__all__ = ['TensorBatch']


class TensorBatch(MatchBatch):
    """A batch given as the tensors of a head with several layers.

    Args:
        scores (Tensor): (L, B, N, C) logits.
        boxes (Tensor): (L, B, N, 4) boxes, xyxy in pixels.
        gts (Sequence[InstanceData]): Per image; may be
            :class:`GroundTruths`, which have metas of their own.
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
        super().__init__(GroundTruths.of(gts, metas, scores.device), shape[0])
        self.raw_scores = widen(scores.flatten(0, 1))
        self.boxes = mark_bad_numbers(widen(boxes.flatten(0, 1)))
        self.num_preds = [scores.shape[2]] * len(self.num_gts)

    def _part(
        self, entries: slice, ground_truths: GroundTruths
    ) -> TensorBatch:
        return TensorBatch(
            self.raw_scores[None, entries],
            self.boxes[None, entries],
            ground_truths,
            ground_truths.metas,
        )

    @property
    def num_classes(self) -> int:
        """Columns of the scores."""
        return self.raw_scores.shape[2]

    @property
    def score_kind(self) -> str:
        """See :class:`MatchBatch`."""
        return 'logits'

    @cached_property
    def preds(self) -> list[InstanceData]:  # type: ignore[override]
        """The predictions of each entry, for costs that take one image."""
        return [
            InstanceData(scores=scores, bboxes=boxes)
            for scores, boxes in zip(self.scores, self.boxes)
        ]
