"""The paper's matching costs: non-negative, with the constants kept."""

from __future__ import annotations

from mmdet.registry import TASK_UTILS
from torch import Tensor

from .._options import named_options
from ..inputs.match_batch import MatchBatch
from .batched_cost import BatchedCost
from .pairs import of_labels, overlaps
from .span import Span

__all__ = ['OneMinusIoUCost', 'OneMinusProbCost']


@TASK_UTILS.register_module()
@named_options
class OneMinusIoUCost(BatchedCost):
    r"""Box cost :math:`w (1 - \mathrm{IoU}(\hat b_i, b_j))` (Sec. 3).

    Unlike mmdet's ``IoUCost`` it keeps the constant. Off the balanced case
    and beside a background cost the constant matters.

    Args:
        iou_mode (str): ``'iou'``, costs in [0, w], or ``'giou'``, costs in
            [0, 2w]. Defaults to ``'iou'``.
        weight (float): Weight w. Defaults to 1.

    Raises:
        ValueError: If ``iou_mode`` is unknown.
    """

    def __init__(self, iou_mode: str = 'iou', weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        if iou_mode not in ('iou', 'giou'):
            raise ValueError(
                f"iou_mode must be 'iou' or 'giou', got {iou_mode!r}"
            )
        self.iou_mode = iou_mode

    @property
    def span(self) -> Span:
        """See :class:`BatchedCost`."""
        return Span(0.0, (2 if self.iou_mode == 'giou' else 1) * self.weight)

    def of_batch(self, batch: MatchBatch) -> Tensor:
        """See :class:`BatchedCost`."""
        return overlaps(batch, self.iou_mode).sub_(1).mul_(-self.weight)


@TASK_UTILS.register_module()
@named_options
class OneMinusProbCost(BatchedCost):
    r"""Class cost :math:`w (1 - \langle \hat c_i, c_j \rangle)` (Sec. 3.1).

    Args:
        use_sigmoid (bool): Whether the scores are logits of independent
            classes (Deformable DETR and later) rather than of a softmax
            with background as the last class (DETR). Defaults to False.
        weight (float): Weight w, the paper's lambda_prob. Defaults to 1.
    """

    def __init__(self, use_sigmoid: bool = False, weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        self.use_sigmoid = use_sigmoid

    @property
    def span(self) -> Span:
        """See :class:`BatchedCost`."""
        return Span(0.0, self.weight)

    def of_batch(self, batch: MatchBatch) -> Tensor:
        """See :class:`BatchedCost`."""
        scores = batch.scores
        self.check(scores)
        if self.use_sigmoid:
            probabilities = scores.sigmoid()
        else:
            probabilities = scores.softmax(-1)
        return self.weight * (1 - of_labels(probabilities, batch))

    def check(self, scores: Tensor) -> None:
        """Raises ValueError if the scores have no background to compare."""
        if scores.shape[-1] == 1 and not self.use_sigmoid:
            raise ValueError(
                'scores have one column, of which the softmax is always 1; '
                'set use_sigmoid=True of OneMinusProbCost for heads without '
                'a column for the background (focal loss)'
            )
