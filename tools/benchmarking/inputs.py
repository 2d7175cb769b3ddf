"""Predictions and ground truths of a training step, at random."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec

import torch
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_uot.assigners import UOTAssigner
from mmdet_uot.datasets.color_boxes import (
    ColorBoxesOptions,
    image_rng,
    sample_scene,
)
from mmdet_uot.inputs.from_decoder import TensorBatch
from mmdet_uot.inputs.from_instances import InstanceBatch
from mmdet_uot.inputs.match_batch import MatchBatch
from mmdet_uot.ot import TransportPlan

from .configs import load_config

__all__ = [
    'Inputs',
    'anchor_inputs',
    'query_inputs',
    'query_tensors',
    'sample_objects',
]

# Width and height of an image, where the anchors do not say.
_IMAGE_SIZE = (1333, 800)


@dataclass(frozen=True)
class Inputs:
    """What is matched, as our assigners and as mmdet's take it.

    Attributes:
        match (Callable): Matches the whole batch with one of our assigners.
        make_batch (Callable): Makes what such an assigner works on.
        rivals (dict[str, tuple]): Name of a stock assigner -> its config and
            the predictions that it takes, per image (and layer).
        gts (Sequence[InstanceData]): Of each of these predictions.
        metas (Sequence[dict]): Of each of these predictions.
        calls (dict[str, Callable]): Name -> another way from boxes to pairs.
            Defaults to none.
    """

    match: Callable[[UOTAssigner], TransportPlan]
    make_batch: Callable[[], MatchBatch]
    rivals: dict[str, tuple[dict, Sequence[InstanceData]]]
    gts: Sequence[InstanceData]
    metas: Sequence[dict]
    calls: dict[str, Callable[[], object]] = field(default_factory=dict)


def sample_objects(
    options: ColorBoxesOptions, index: int, device: torch.device | str
) -> InstanceData:
    """The ground truths of an image of Color Boxes.

    Args:
        options (ColorBoxesOptions): Canvas and number of objects.
        index (int): Index of the image.
        device (torch.device | str): Where they are to be.

    Returns:
        InstanceData: ``bboxes`` (m, 4), xyxy in pixels, ``labels`` (m,).
    """
    scene = sample_scene(options, image_rng(options.seed, 'train', index))
    return InstanceData(
        bboxes=torch.from_numpy(scene.boxes).float().to(device),
        labels=torch.from_numpy(scene.labels).to(device),
    )


def anchor_inputs(
    model: ConfigDict,
    objects: Sequence[InstanceData],
    options: ColorBoxesOptions,
) -> Inputs:
    """The anchors of SSD or RetinaNet, the same in every image.

    SimOTAAssigner, which asks for boxes and scores of a model, gets the
    anchors and uniform scores.

    Args:
        model (ConfigDict): Config of the detector.
        objects (Sequence[InstanceData]): Ground truths of each image.
        options (ColorBoxesOptions): What they were sampled with.

    Returns:
        Inputs: N anchors per image.
    """
    generator = TASK_UTILS.build(model.bbox_head.anchor_generator)
    strides = generator.strides
    side = getattr(generator, 'input_size', None)
    width, height = (side, side) if side else _IMAGE_SIZE
    sizes = [(math.ceil(height / h), math.ceil(width / w)) for w, h in strides]
    device = objects[0].bboxes.device
    levels = generator.grid_priors(sizes, device=device)
    anchors = torch.cat(levels)
    steps = [
        level.new_tensor(stride).expand(len(level), 2)
        for level, stride in zip(levels, strides)
    ]
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    scores = _rand(options.seed, len(anchors), model.bbox_head.num_classes)
    points = InstanceData(
        priors=torch.cat((centers, torch.cat(steps)), dim=1),
        bboxes=anchors,
        scores=scores.to(device),
    )
    resize = anchors.new_tensor((width, height)) / anchors.new_tensor(
        options.image_size
    )
    resize = resize.repeat(2)
    gts = [
        InstanceData(bboxes=image.bboxes * resize, labels=image.labels)
        for image in objects
    ]
    metas = [dict(img_shape=(height, width))] * len(gts)
    preds = [InstanceData(priors=anchors)] * len(gts)
    max_iou = load_config('ssd300_two_stage').model.train_cfg.assigner
    return Inputs(
        match=lambda assigner: assigner.match(preds, gts, metas),
        make_batch=partial(InstanceBatch, preds, gts, metas),
        rivals={
            'MaxIoUAssigner': (max_iou, preds),
            'SimOTAAssigner': (
                dict(type='SimOTAAssigner'),
                [points] * len(gts),
            ),
        },
        gts=gts,
        metas=metas,
        calls={
            'bbox_overlaps + lapx, by image': partial(
                _overlaps_and_lapx, anchors, gts
            )
        }
        if find_spec('lap')
        else {},
    )


def query_tensors(
    model: ConfigDict,
    num_images: int,
    options: ColorBoxesOptions,
    device: torch.device | str,
) -> tuple[Tensor, Tensor]:
    """The queries of DETR or a variant of it, of all decoder layers.

    Their boxes have the objects' size and lie anywhere in the image; their
    logits are uniform in [-2, 2].

    Args:
        model (ConfigDict): Config of the detector.
        num_images (int): Images of the batch.
        options (ColorBoxesOptions): Sizes of image and objects, and the seed.
        device (torch.device | str): Where they are to be.

    Returns:
        tuple[Tensor, Tensor]: Logits (L, B, N, C) and boxes (L, B, N, 4),
        xyxy in pixels.
    """
    head = model.bbox_head
    shape = (model.decoder.num_layers, num_images, model.num_queries)
    num_logits = head.num_classes + (not head.loss_cls.use_sigmoid)
    scores = 4 * _rand(options.seed, *shape, num_logits).to(device) - 2
    corner, size = _rand(options.seed + 1, *shape, 4).split(2, dim=-1)
    shortest, longest = options.side_range
    size = shortest + size * (longest - shortest)
    corner = corner * (torch.tensor(options.image_size) - size)
    return scores, torch.cat((corner, corner + size), dim=-1).to(device)


def query_inputs(
    model: ConfigDict,
    objects: Sequence[InstanceData],
    options: ColorBoxesOptions,
) -> Inputs:
    """The queries of :func:`query_tensors`, of all decoder layers.

    Args:
        model (ConfigDict): Config of the detector.
        objects (Sequence[InstanceData]): Ground truths of each image.
        options (ColorBoxesOptions): What they were sampled with.

    Returns:
        Inputs: L layers of B images of N queries.
    """
    device = objects[0].bboxes.device
    scores, boxes = query_tensors(model, len(objects), options, device)
    layers = len(scores)
    metas = [dict(img_shape=options.image_size[::-1])] * len(objects)
    preds = [
        InstanceData(scores=score, bboxes=box)
        for score, box in zip(scores.flatten(0, 1), boxes.flatten(0, 1))
    ]
    hungarian = dict(
        type='HungarianAssigner',
        match_costs=model.train_cfg.assigner.match_costs,
    )
    return Inputs(
        match=lambda assigner: assigner.match_layers(
            scores, boxes, objects, metas
        ),
        make_batch=partial(TensorBatch, scores, boxes, objects, metas),
        rivals={'HungarianAssigner': (hungarian, preds)},
        gts=list(objects) * layers,
        metas=metas * layers,
    )


def _overlaps_and_lapx(
    anchors: Tensor, gts: Sequence[InstanceData]
) -> list[tuple]:
    from lap import lapjvr

    costs = (1 - bbox_overlaps(gt.bboxes, anchors) for gt in gts)
    return [lapjvr(cost.cpu().numpy(), extend_cost=True) for cost in costs]


def _rand(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator)
