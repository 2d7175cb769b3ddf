"""The losses of our DETR heads beside those of the stock heads."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from mmdet.models.dense_heads import DeformableDETRHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmdet_uot.datasets.color_boxes import ColorBoxesOptions

from .configs import load_config
from .inputs import query_tensors, sample_objects
from .timing import Clock, Time

__all__ = ['HEADS', 'LossTime', 'time_losses']

# Name -> config of a head on plans, and images of a batch.
HEADS = {
    'detr': ('detr_ot', 8),
    'deformable': ('deformable_detr_ot', 8),
    'dino': ('dino_ot_coco', 4),
}
NUM_CLASSES = 20


@dataclass(frozen=True)
class LossTime:
    """The time of matching, losses and backward pass.

    Attributes:
        name (str): Name in ``HEADS``.
        shape (tuple[int, int, int]): Layers, images and queries.
        ours (Time): Of our head with the assigner of the config.
        stock (Time): Of mmdet's head with ``HungarianAssigner``.
    """

    name: str
    shape: tuple[int, int, int]
    ours: Time
    stock: Time


def time_losses(
    clock: Clock,
    *,
    max_objects: int = 30,
    seed: int = 0,
    device: torch.device | str = 'cpu',
) -> Iterator[LossTime]:
    """Times ``loss_by_feat`` and its backward pass.

    Args:
        clock (Clock): What takes the times.
        max_objects (int): The number of objects of an image is uniform from
            0 to this. Defaults to 30.
        seed (int): Seed of all that is drawn. Defaults to 0.
        device (torch.device | str): Where it is. Defaults to the CPU.

    Yields:
        LossTime: One per head of ``HEADS``.
    """
    options = ColorBoxesOptions(seed=seed, max_objects=max_objects)
    for name, (config, num_images) in HEADS.items():
        model = load_config(config).model
        model.bbox_head.num_classes = NUM_CLASSES
        scores, boxes = query_tensors(model, num_images, options, device)
        width, height = options.image_size
        size = scores.new_tensor([width, height, width, height])
        preds = scores, bbox_xyxy_to_cxcywh(boxes) / size
        gts = dict(
            batch_gt_instances=[
                sample_objects(options, index, device)
                for index in range(num_images)
            ],
            batch_img_metas=[dict(img_shape=(height, width))] * num_images,
        )
        ours, stock = (
            clock(partial(_step, head, preds, gts))
            for head in _heads(model, device)
        )
        yield LossTime(name, tuple(scores.shape[:3]), ours, stock)


def _heads(
    model: ConfigDict, device: torch.device | str
) -> Iterator[nn.Module]:
    """Ours with its assigner, the stock head with Hungarian matching."""
    ours = model.train_cfg.assigner
    costs = ours.match_costs
    for prefix, assigner in (
        ('UOT', ours),
        ('', dict(type='HungarianAssigner', match_costs=costs)),
    ):
        # mmdet changes the configs that it is given.
        head = copy.deepcopy(model.bbox_head)
        head.type = prefix + head.type.replace('UOT', '')
        head.train_cfg = ConfigDict(assigner=assigner)
        with DefaultScope.overwrite_default_scope('mmdet'):
            yield MODELS.build(head).to(device)


def _step(
    head: nn.Module, preds: tuple[Tensor, Tensor], gts: dict[str, list]
) -> None:
    leaves = [pred.detach().requires_grad_() for pred in preds]
    # Theirs beyond this are encoder proposals and denoising.
    if isinstance(head, DeformableDETRHead):
        head = super(DeformableDETRHead, head)
    losses = head.loss_by_feat(*leaves, **gts)
    sum(losses.values()).backward()
