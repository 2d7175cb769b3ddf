"""DDQ's head on transport plans; mmdet has it since 3.2."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import DDQDETRHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmdet.utils import InstanceList
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..assigners import match_batch
from ..inputs.ground_truths import GroundTruths
from .dino_head import UOTDINOHead

__all__ = ['UOTDDQDETRHead']


@MODELS.register_module()
class UOTDDQDETRHead(DDQDETRHead, UOTDINOHead):
    """DDQ's head on transport plans, see :class:`UOTDETRHead`.

    The distinct queries of a layer are matched, those of all images at once;
    the dense ones keep the assigner of their own that mmdet gives them.
    """

    def _loss_for_distinct_queries_single(
        self,
        scores: Tensor,
        boxes: Tensor,
        layer: int,
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Class, L1 and IoU loss of a layer.

        Args:
            scores (Tensor): (B, N, C) logits.
            boxes (Tensor): (B, N, 4) boxes, cxcywh, relative.
            layer (int): Which one; all queries of the first are distinct.
            batch_gt_instances (list[InstanceData]): Per image.
            batch_img_metas (list[dict]): Per image.

        Returns:
            tuple[Tensor, Tensor, Tensor]: Not yet summed over the layers.
        """
        gts = GroundTruths.of(
            batch_gt_instances, batch_img_metas, scores.device
        )
        labels = gts.labels(self.num_classes)
        boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32))
        if layer > 0:
            # One mask per attention head, all alike; its rows are, too.
            masks = self.cache_dict['distinct_query_mask'][layer - 1]
            heads = self.cache_dict['num_heads']
            kept = [masks[b * heads][0] for b in range(len(scores))]
            scores, boxes = (
                pad_sequence(
                    [own[rows] for own, rows in zip(values, kept)],
                    batch_first=True,
                )
                for values in (scores, boxes)
            )
            counts = [int(rows.sum()) for rows in kept]
        else:
            counts = [scores.shape[1]] * len(scores)
        absolute = bbox_cxcywh_to_xyxy(boxes.detach())
        absolute = absolute * gts.image_sizes.to(boxes.dtype)
        preds = [
            InstanceData(scores=own[:count], bboxes=corners[:count])
            for own, corners, count in zip(scores.detach(), absolute, counts)
        ]
        plan = match_batch(self.assigner, preds, gts, batch_img_metas)
        losses = self._losses_of_plan(
            plan, scores[None], boxes[None], gts, labels
        )
        return tuple(values[0] for values in losses.values())
