"""Mask R-CNN's mask head on transport plans."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.losses import CrossEntropyLoss
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from mmdet.structures.mask import mask_target
from mmdet.utils import ConfigType, InstanceList
from torch import Tensor

from .._options import named_options
from .sampling import drawn_plan

__all__ = ['UOTFCNMaskHead']

# So a RoI has less than 10 masks to learn.
_LEAST_SHARE = 0.1


@MODELS.register_module()
@named_options
class UOTFCNMaskHead(FCNMaskHead):
    """Mask head whose loss is weighted by a transport plan.

    For ``UOTStandardRoIHead`` and ``UOTCascadeRoIHead``; in another RoI head
    it is mmdet's ``FCNMaskHead``, of which it takes everything. With a stock
    assigner the loss is that of the stock head.

    Args:
        *args: Of ``FCNMaskHead``.
        **kwargs: Of ``FCNMaskHead``.

    Raises:
        TypeError: If the loss is another than ``CrossEntropyLoss`` with
            ``use_mask=True`` and no class weights.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        loss = self.loss_mask
        if (
            type(loss) is not CrossEntropyLoss
            or not loss.use_mask
            or loss.class_weight is not None
        ):
            raise TypeError(
                'loss_mask must be CrossEntropyLoss(use_mask=True) without '
                f'class_weight to be weighted by a plan, got {loss!r}; take '
                'FCNMaskHead, which learns from the hard view'
            )

    def loss_and_target(
        self,
        mask_preds: Tensor,
        sampling_results: list[SamplingResult],
        batch_gt_instances: InstanceList,
        rcnn_train_cfg: ConfigType,
    ) -> dict[str, Tensor | dict[str, Tensor]]:
        r"""Mask loss of positives with their ground truths, weighted by mass.

        A RoI that several ground truths share is a sample with each of them,
        in the channel of its class and with its mask :math:`m_{ij}` as cut
        out by the RoI:

        .. math::
            \frac{1}{\sum_{ij} N P_{ij}} \sum_{ij} N P_{ij} \,
            \mathrm{BCE}(\hat m_{i c_j}, m_{ij}),

        where BCE is the mean over the pixels, and a total mass of less than 1
        counts as 1. The RoIs are the positives that the sampler drew, as in
        the stock head. Left out are ground truths that have at most a tenth
        of the foreground mass of a RoI: each pair takes memory for a mask of
        the image's size while its target is cut.

        Args:
            mask_preds (Tensor): (n, C, h, w) logits of the n positives of all
                images, or (n, 1, h, w) if the head is class agnostic.
            sampling_results (list[SamplingResult]): Per image.
            batch_gt_instances (list[InstanceData]): Per image, with
                ``masks``.
            rcnn_train_cfg (ConfigDict): With ``mask_size``.

        Returns:
            dict[str, Tensor | dict]: ``loss_mask``, a dict that holds
            ``loss_mask`` (1,), and ``mask_targets`` (K, h, w) of the pairs.
        """
        is_weighted = all(hasattr(x, 'weights') for x in sampling_results)
        if len(mask_preds) == 0 or not is_weighted:
            return super().loss_and_target(
                mask_preds,
                sampling_results,
                batch_gt_instances,
                rcnn_train_cfg,
            )
        plan = drawn_plan(sampling_results)
        priors = [drawn.pos_priors for drawn in sampling_results]
        counts = torch.tensor([*map(len, priors)], device=mask_preds.device)
        places = torch.arange(plan.shape[1], device=mask_preds.device)
        positives = plan.restrict(places < counts.unsqueeze(1))
        least = _LEAST_SHARE * positives.foreground.sum(2).unsqueeze(1)
        image, prediction, ground_truth, mass = positives.pairs(least)

        rois = [prediction[image == index] for index in range(len(priors))]
        chosen = [ground_truth[image == index] for index in range(len(priors))]
        targets = mask_target(
            [boxes[roi] for boxes, roi in zip(priors, rois)],
            chosen,
            [gt.masks for gt in batch_gt_instances],
            rcnn_train_cfg,
        )
        channel = torch.cat(
            [gt.labels[own] for gt, own in zip(batch_gt_instances, chosen)]
        )
        if self.class_agnostic:
            channel = torch.zeros_like(channel)
        row = prediction + (counts.cumsum(0) - counts)[image]
        per_pair = F.binary_cross_entropy_with_logits(
            mask_preds[row, channel], targets, reduction='none'
        ).mean((1, 2))
        loss = (mass * per_pair).sum() / mass.sum().clamp(min=1)
        loss = self.loss_mask.loss_weight * loss.view(1)
        return dict(loss_mask=dict(loss_mask=loss), mask_targets=targets)
