"""An image, its boxes, and the plan between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from ..ot import TransportPlan
from .pixels import Picture, to_picture

__all__ = ['MatchedImage', 'image_weights']


@dataclass(frozen=True, eq=False)
class MatchedImage:
    """One image of a batch, as the figures take it.

    Args:
        image (np.ndarray | Tensor): (H, W, 3) uint8, RGB, or as a dataset
            gives it, see :func:`~mmdet_uot.visualization.pixels.to_picture`;
            looked at only to be drawn.
        pred_boxes (Tensor): (N, 4) predicted boxes or anchors, xyxy in pixels
            of the image.
        gt_boxes (Tensor): (M, 4) ground truths, likewise.
        plan (TransportPlan): Weights (B, N, M' + 1) with M' >= M.
        index (int): Which image of the plan. Defaults to 0.

    Raises:
        ValueError: If the plan has another number of predictions, or too few
            ground truths.
    """

    image: np.ndarray | Tensor
    pred_boxes: Tensor
    gt_boxes: Tensor
    plan: TransportPlan
    index: int = 0

    def __post_init__(self) -> None:
        N, columns = self.plan.shape[1:]
        if len(self.pred_boxes) != N or len(self.gt_boxes) >= columns:
            raise ValueError(
                f'pred_boxes ({len(self.pred_boxes)}) and gt_boxes '
                f'({len(self.gt_boxes)}) must be those of the plan, which has '
                f'{N} predictions and {columns - 1} ground truths'
            )

    @cached_property
    def picture(self) -> Picture:
        """The image as it is shown."""
        return to_picture(self.image)

    @property
    def weights(self) -> np.ndarray:
        """(N, M + 1) weights; the last column is the background."""
        return image_weights(self.plan, self.index, len(self.gt_boxes))


def image_weights(
    plan: TransportPlan, index: int = 0, num_gts: int | None = None
) -> np.ndarray:
    """The weights of one image, without padding.

    Args:
        plan (TransportPlan): Weights (B, N, M' + 1).
        index (int): Which image. Defaults to 0.
        num_gts (int, optional): Its number of ground truths M. Defaults to
            all columns of the plan.

    Returns:
        np.ndarray: (N, M + 1); the last column is the background.
    """
    weights = plan.weights[index].cpu().numpy()
    if num_gts is not None:
        weights = np.delete(weights, np.s_[num_gts:-1], axis=1)
    return weights
