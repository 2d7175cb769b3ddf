"""What all heads with anchors share: options, checks and the matching."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import AnchorHead
from mmdet.utils import OptInstanceList
from torch import Tensor, nn

from .._options import named_options
from ..inputs.bad_numbers import (
    BadNumberLog,
    describe_predictions,
    drop_bad_numbers,
)
from ..inputs.ground_truths import GroundTruths
from ..losses import check_pair_loss
from ..ot import TransportPlan
from .grid_anchors import GridAnchors
from .levels import flatten_levels
from .matched import Matched

__all__ = ['AnchorMatching', 'centreness']


@named_options
class AnchorMatching(AnchorHead):
    """Matches the anchors of all images in one solve.

    Args:
        *args: Of the stock head.
        min_mass (float): Which pairs are left out, see :func:`box_pairs`.
            Defaults to 0.01.
        **kwargs: Of the stock head.

    Raises:
        TypeError: If the class loss cannot be weighted by pairs.
    """

    # Whether the priors are points with their strides.
    with_stride = False

    def __init__(self, *args, min_mass: float = 0.01, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.min_mass = min_mass
        self.bad_number_log = BadNumberLog(describe_predictions)
        check_pair_loss(self.loss_cls)
        if self.train_cfg:
            self.grid_anchors = GridAnchors(
                self.prior_generator,
                self.train_cfg['allowed_border'],
                self.with_stride,
            )

    def match_anchors(
        self,
        cls_scores: list[Tensor],
        gts: GroundTruths,
        batch_gt_instances_ignore: OptInstanceList,
        **predictions: Tensor,
    ) -> tuple[TransportPlan, Tensor, list[int]]:
        """Matches the anchors of feature maps.

        Args:
            cls_scores (list[Tensor]): Per level, (B, anchors * C, H, W).
            gts (GroundTruths): Of the batch.
            batch_gt_instances_ignore (list[InstanceData], optional): Per
                image, ignored ``bboxes``.
            **predictions (Tensor): (B, N, ...), see :class:`GridAnchors`.

        Returns:
            tuple[TransportPlan, Tensor, list[int]]: The plan (B, N, M + 1),
            the anchors (N, 4) and how many of them each level has.
        """
        sizes = [tuple(score.shape[-2:]) for score in cls_scores]
        plan = self.grid_anchors.match(
            self.assigner, sizes, gts, batch_gt_instances_ignore, **predictions
        )
        anchors = self.grid_anchors.anchors(sizes, gts.device)
        return plan, anchors, self.grid_anchors.counts(sizes)

    def flatten(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        gts: GroundTruths,
    ) -> tuple[Tensor, Tensor]:
        """Scores (B, N, C) and boxes (B, N, D) without bad numbers."""
        scores = flatten_levels(cls_scores, self.cls_out_channels)
        count = scores[0, :, 0].numel()
        channels = sum(x[0].numel() for x in bbox_preds) // count
        boxes = flatten_levels(bbox_preds, channels)
        return drop_bad_numbers(scores, boxes, self.bad_number_log, gts.names)

    def class_loss(
        self,
        matched: Matched,
        scores: Tensor,
        quality: Tensor | None = None,
        loss: nn.Module | None = None,
    ) -> Tensor:
        """(B, N) class losses, with ``pos_weight`` of ``train_cfg``.

        Args:
            matched (Matched): The plan and its K pairs.
            scores (Tensor): (B, N, C) logits.
            quality (Tensor, optional): (K,) what the pairs' scores should be,
                for losses that take it. Defaults to None.
            loss (nn.Module, optional): Defaults to ``loss_cls``.

        Returns:
            Tensor: Not averaged.
        """
        weight = self.train_cfg['pos_weight']
        return matched.class_loss(
            loss or self.loss_cls,
            scores,
            self.num_classes,
            quality=quality,
            pos_weight=weight if weight > 0 else 1.0,
        )


def centreness(priors: Tensor, boxes: Tensor) -> Tensor:
    r"""How central points lie in boxes (FCOS, Eq. 3).

    .. math::
        \sqrt{\frac{\min(l, r)}{\max(l, r)}
        \frac{\min(t, b)}{\max(t, b)}},

    zero outside of the box.

    Args:
        priors (Tensor): (K, 2) points.
        boxes (Tensor): (K, 4) boxes, xyxy.

    Returns:
        Tensor: (K,) in [0, 1].
    """
    near = (priors - boxes[:, :2]).clamp(min=0)
    far = (boxes[:, 2:] - priors).clamp(min=0)
    longer = torch.maximum(near, far).clamp(min=1e-12)
    return (torch.minimum(near, far) / longer).prod(1).sqrt()
