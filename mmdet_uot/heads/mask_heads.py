"""MaskFormer's heads on transport plans."""

from __future__ import annotations

from itertools import accumulate

import torch
import torch.nn.functional as F
from mmcv.ops import point_sample
from mmdet.models.dense_heads import Mask2FormerHead, MaskFormerHead
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from mmdet.registry import MODELS
from mmdet.utils import InstanceList, reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from .._options import named_options
from ..assigners import match_batch
from ..inputs.ground_truths import GroundTruths
from ..losses import check_class_loss, class_loss, class_mass, heaviest_pairs

__all__ = ['UOTMask2FormerHead', 'UOTMaskFormerHead']


class _MaskHead:
    """Class, mask and dice losses of a decoder layer, weighted by a plan.

    Mixed into a stock head with ``_to_match`` and ``_mask_losses``. Raises
    ValueError if ``max_preds`` is less than 1.
    """

    def __init__(self, *args, max_preds: int = 5, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if max_preds < 1:
            raise ValueError(
                f'max_preds must be at least 1, got {max_preds}: a ground '
                'truth learns its mask from so many predictions'
            )
        self.max_preds = max_preds
        check_class_loss(self.loss_cls)

    def _loss_by_feat_single(
        self,
        cls_scores: Tensor,
        mask_preds: Tensor,
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Matches the images of a layer and computes its losses.

        Args:
            cls_scores (Tensor): (B, N, C + 1) logits.
            mask_preds (Tensor): (B, N, h, w) logits.
            batch_gt_instances (list[InstanceData]): Per image, ``labels``
                and ``masks`` (m, H, W).
            batch_img_metas (list[dict]): Per image.

        Returns:
            tuple[Tensor, Tensor, Tensor]: Class, mask and dice loss.
        """
        labels = GroundTruths.of(
            batch_gt_instances, batch_img_metas, cls_scores.device
        ).labels(self.num_classes)
        preds, gts = zip(
            *(
                self._to_match(*given)
                for given in zip(
                    cls_scores.detach(),
                    mask_preds.detach(),
                    batch_gt_instances,
                )
            )
        )
        plan = match_batch(self.assigner, preds, gts, batch_img_metas)
        loss_cls = class_loss(self.loss_cls, cls_scores, plan, labels).sum()
        factor = cls_scores.new_tensor(self.class_weight)
        mass = class_mass(plan, labels, self.num_classes).sum((0, 1))
        mass = torch.cat((mass, plan.background.sum().view(1)))

        average = reduce_mean(plan.foreground_mass.clamp(min=1).sum())
        image, prediction, gt, weight = heaviest_pairs(plan, self.max_preds)
        # As the stock heads go through them, which draw points at random.
        order = (image * cls_scores.shape[1] + prediction).argsort(stable=True)
        image, prediction, gt = image[order], prediction[order], gt[order]
        matched = mask_preds[image, prediction]
        if len(matched) == 0:
            loss_mask = loss_dice = matched.sum()
        else:
            counts = [len(own) for own in batch_gt_instances]
            first = gt.new_tensor([0, *accumulate(counts)])
            loss_mask, loss_dice = self._mask_losses(
                matched,
                torch.cat([own.masks for own in batch_gt_instances]),
                first[image] + gt,
                weight[order],
                average,
            )
        return loss_cls / (mass * factor).sum(), loss_mask, loss_dice


@MODELS.register_module()
@named_options
class UOTMaskFormerHead(_MaskHead, MaskFormerHead):
    """MaskFormer's head on transport plans.

    Takes everything that mmdet's ``MaskFormerHead`` takes. Each layer is
    matched for all images at once. With ``HungarianAssigner`` the losses are
    those of the stock head.

    Args:
        *args: Of ``MaskFormerHead``.
        max_preds (int): A ground truth learns its mask from at most so many
            of its heaviest predictions, see :func:`heaviest_pairs`. Each
            takes the memory of a mask. Defaults to 5.
        **kwargs: Of ``MaskFormerHead``.
    """

    def _to_match(
        self, scores: Tensor, masks: Tensor, gts: InstanceData
    ) -> tuple[InstanceData, InstanceData]:
        """Predictions and ground truths on the predictions' grid."""
        gt_masks = gts.masks
        if len(gt_masks):
            gt_masks = F.interpolate(
                gt_masks.unsqueeze(1).float(), masks.shape[-2:], mode='nearest'
            )
            gt_masks = gt_masks.squeeze(1).long()
        return (
            InstanceData(scores=scores, masks=masks),
            InstanceData(labels=gts.labels, masks=gt_masks),
        )

    def _mask_losses(
        self,
        masks: Tensor,
        gt_masks: Tensor,
        row: Tensor,
        mass: Tensor,
        average: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Mask and dice loss of K pairs, (K, h, w) against (G, H, W)."""
        targets = gt_masks[row]
        masks = F.interpolate(
            masks.unsqueeze(1),
            targets.shape[-2:],
            mode='bilinear',
            align_corners=False,
        ).squeeze(1)
        pixels = targets[0].numel()
        loss_mask = self.loss_mask(
            masks.reshape(-1, 1),
            1 - targets.reshape(-1),  # its class 0 is the object
            mass.repeat_interleave(pixels),
            avg_factor=average * pixels,
        )
        loss_dice = self.loss_dice(masks, targets, mass, avg_factor=average)
        return loss_mask, loss_dice


@MODELS.register_module()
@named_options
class UOTMask2FormerHead(_MaskHead, Mask2FormerHead):
    """Mask2Former's head on transport plans, see :class:`UOTMaskFormerHead`.

    Masks are matched, and compared, at points that are sampled as in the
    stock head.
    """

    def _to_match(
        self, scores: Tensor, masks: Tensor, gts: InstanceData
    ) -> tuple[InstanceData, InstanceData]:
        """Predictions and ground truths at random points of the image."""
        points = torch.rand((1, self.num_points, 2), device=scores.device)

        def sample(maps: Tensor) -> Tensor:
            at = points.expand(len(maps), -1, -1)
            return point_sample(maps.unsqueeze(1).float(), at).squeeze(1)

        return (
            InstanceData(scores=scores, masks=sample(masks)),
            InstanceData(labels=gts.labels, masks=sample(gts.masks)),
        )

    def _mask_losses(
        self,
        masks: Tensor,
        gt_masks: Tensor,
        row: Tensor,
        mass: Tensor,
        average: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Mask and dice loss of K pairs at points that are uncertain."""
        masks = masks.unsqueeze(1)
        with torch.no_grad():
            points = get_uncertain_point_coords_with_randomness(
                masks,
                None,
                self.num_points,
                self.oversample_ratio,
                self.importance_sample_ratio,
            )
            targets = _sample_rows(gt_masks, row, points)
        masks = point_sample(masks, points).squeeze(1)
        loss_mask = self.loss_mask(
            masks.reshape(-1),
            targets.reshape(-1),
            mass.repeat_interleave(self.num_points),
            avg_factor=average * self.num_points,
        )
        loss_dice = self.loss_dice(masks, targets, mass, avg_factor=average)
        return loss_mask, loss_dice


def _sample_rows(masks: Tensor, row: Tensor, points: Tensor) -> Tensor:
    """(K, P) values of rows of (G, H, W) at points (K, P, 2), in [0, 1].

    A mask of which several pairs ask for points is read once, not copied.
    """
    order = row.argsort(stable=True)
    place = torch.arange(len(row), device=row.device)
    place = place - torch.searchsorted(row[order], row[order])
    turn = torch.empty_like(row).scatter_(0, order, place)
    G, (_, P, _) = len(masks), points.shape
    grid = points.new_zeros((G, int(turn.max()) + 1, P, 2))
    grid[row, turn] = points
    values = point_sample(masks.unsqueeze(1).float(), grid.flatten(1, 2))
    return values.view(grid.shape[:3])[row, turn]
