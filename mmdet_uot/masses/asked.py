"""How many predictions each ground truth asks for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor

from ..costs.candidates import build_candidates
from ..costs.exclusion import unpack
from ..costs.pairs import overlaps
from ..inputs.match_batch import MatchBatch
from ..inputs.native_overlaps import sums_of_greatest
from ..ot import may_hold

__all__ = ['DynamicMass', 'FieldMass']

# Predictions are looked through in runs of this length.
_RUN = 64


@TASK_UTILS.register_module()
class DynamicMass:
    r"""The dynamic k of OTA and SimOTA: what the best boxes add up to.

    .. math::
        k_j = \max\Bigl(1, \Bigl\lfloor \sum_{q \text{ greatest}}
        \mathrm{IoU}(\hat b_i, b_j) \Bigr\rfloor\Bigr).

    Source: Ge et al., "OTA: Optimal Transport Assignment for Object
    Detection", CVPR 2021, Sec. 3.3 (q = 20); Ge et al., "YOLOX", 2021
    (q = 10).

    Args:
        top (int): Number q of IoUs that are added up. Defaults to 10.
        candidates (list[dict] | dict, optional): Rules for the predictions
            whose IoUs count, as those of :class:`MatchingCost`. Defaults to
            None, all.
        shared (bool): Whether a candidate of any ground truth counts for all,
            as in SimOTA, rather than for its own. Defaults to False.

    Attributes:
        most_asked (int): No ground truth asks for more; all numbers are
            whole.

    Raises:
        ValueError: If ``top`` is less than 1.
    """

    def __init__(
        self,
        *,
        top: int = 10,
        candidates: Sequence[dict] | dict | None = None,
        shared: bool = False,
    ) -> None:
        if not isinstance(top, int) or top < 1:
            raise ValueError(
                f'top must be a whole number of at least 1, got {top!r}'
            )
        self.top = self.most_asked = top
        self.candidates = build_candidates(candidates)
        self.shared = shared

    def __call__(self, batch: MatchBatch) -> Tensor:
        """Computes the numbers of a batch.

        Args:
            batch (MatchBatch): B images with boxes.

        Returns:
            Tensor: (B, M) float32 whole numbers.
        """
        counts = None
        if self.candidates is not None:
            counts = self.candidates.pairs(batch)
            counts = counts.masked_fill(~batch.gt_valid().unsqueeze(2), 0)
        sums = None
        if counts is None or counts.dtype == torch.int64:
            sums = sums_of_greatest(batch, self.top, counts, self.shared)
        if sums is None:
            sums = self._sum_of_greatest(self._overlaps(batch, counts))
        return sums.floor().clamp(1)

    def _overlaps(self, batch: MatchBatch, counts: Tensor | None) -> Tensor:
        """(B, M, N) IoUs; 0 where they do not count."""
        ious = overlaps(batch, 'iou').nan_to_num_(0.0)
        left_out = ~batch.pred_valid()
        if may_hold(left_out):
            ious.masked_fill_(left_out.unsqueeze(1), 0.0)
        if counts is not None:
            if counts.dtype == torch.int64:
                counts = unpack(counts, batch.shape[1])
            if self.shared:
                counts = counts.any(1, keepdim=True)
            ious.masked_fill_(~counts, 0.0)
        return ious

    def _sum_of_greatest(self, values: Tensor) -> Tensor:
        """(B, M) sums of the greatest of (B, M, N)."""
        B, M, N = values.shape
        top = min(self.top, N)
        if 4 * _RUN * top < N:
            # The greatest lie in the runs with the greatest maxima.
            whole = N // _RUN * _RUN
            runs = values[..., :whole].view(B, M, N // _RUN, _RUN)
            best = runs.amax(3).topk(top, 2).indices
            best = best.unsqueeze(3).expand(-1, -1, -1, _RUN)
            found = runs.gather(2, best).flatten(2)
            values = torch.cat((found, values[..., whole:]), 2)
        return values.topk(top, 2).values.sum(2)


class FieldMass:
    """A weight of every object, from a field of ``gt_instances``.

    Args:
        name (str): Field (m,) of numbers, which a data set or a transform
            sets. 0, less, or NaN: the object takes no part.
    """

    most_asked = None

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, batch: MatchBatch) -> Tensor:
        """(B, M) float32 weights, 0 in the padding."""
        return batch.gt_field(self.name).nan_to_num(0.0, 0.0).clamp(min=0.0)
