"""The matching that a detector is trained with, on one image."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import torch
from mmdet.models.task_modules.assigners import AssignResult, BaseAssigner
from mmdet.structures.bbox import get_box_tensor
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..assigners import match_batch, match_layers
from ..inputs.from_decoder import TensorBatch
from ..inputs.from_instances import InstanceBatch
from ..inputs.match_batch import MatchBatch
from ..ot import TransportPlan
from ..visualization.matched_image import MatchedImage

__all__ = ['Record', 'record_last', 'record_matching']


class Record(NamedTuple):
    """One matching of one image.

    Attributes:
        boxes (Tensor): (N, 4) predictions or anchors, xyxy in pixels.
        plan (TransportPlan): (1, N, M + 1) weights.
        assigner (BaseAssigner): Who matched them.
        batch (MatchBatch): What the assigner was given, one entry.
        ignored (list[InstanceData | None]): Of its one entry.
        result (AssignResult, optional): What a head got that knows no plans.
        last_layer (bool): Whether this is the last layer of a decoder.
    """

    boxes: Tensor
    plan: TransportPlan
    assigner: BaseAssigner
    batch: MatchBatch
    ignored: list[InstanceData | None]
    result: AssignResult | None = None
    last_layer: bool = False


class Recorder(BaseAssigner):
    """Assigns as another assigner does and notes what it does.

    Args:
        assigner (BaseAssigner): One of ours or any of mmdet's.
        records (list[Record]): Where the matchings of one image are noted.
    """

    def __init__(self, assigner: BaseAssigner, records: list[Record]) -> None:
        self.assigner = assigner
        self.records = records

    def __getattr__(self, name: str) -> Any:
        return getattr(self.assigner, name)

    def match_layers(
        self, scores: Tensor, boxes: Tensor, gts: Any, metas: Any
    ) -> TransportPlan:
        """Matches layers of a decoder, of which the last one is noted."""
        plan = match_layers(self.assigner, scores, boxes, gts, metas)
        error, asked = plan.marginal_error, plan.gt_range
        last = TransportPlan(
            plan.weights[-1:],
            plan.pred_mass[-1:],
            plan.gt_mass[-1:],
            marginal_error=None if error is None else error[-1:],
            gt_range=None if asked is None else asked[:, -1:],
        )
        batch = TensorBatch(scores[-1:], boxes[-1:], gts, metas)
        record = Record(
            boxes[-1, 0],
            last,
            self.assigner,
            batch,
            batch.ignored,
            last_layer=True,
        )
        self.records.append(record)
        return plan

    def match(
        self,
        preds: Sequence[InstanceData],
        gts: Sequence[InstanceData],
        metas: Sequence[dict] | None = None,
        ignored: Sequence[InstanceData | None] | None = None,
    ) -> TransportPlan:
        """Matches anchors or predictions."""
        metas = [{}] * len(preds) if metas is None else metas
        plan = match_batch(self.assigner, preds, gts, metas, ignored)
        self._note(preds, gts, metas, ignored, plan)
        return plan

    def assign(self, *args: Any, **kwargs: Any) -> AssignResult:
        """What stock heads call, once per image and layer."""
        result = self.assigner.assign(*args, **kwargs)
        bound = signature(self.assigner.assign).bind(*args, **kwargs)
        given = bound.arguments
        arguments = (
            [given['pred_instances']],
            [given['gt_instances']],
            [given.get('img_meta') or {}],
            [given.get('gt_instances_ignore')],
        )
        if hasattr(self.assigner, 'match'):
            plan = self.assigner.match(*arguments)
        else:
            gt_inds = result.gt_inds[None]
            plan = TransportPlan.from_indices(
                gt_inds - 1, result.num_gts, ignored=gt_inds < 0
            )
        self._note(*arguments, plan, result)
        return result

    def _note(
        self,
        preds: Sequence[InstanceData],
        gts: Sequence[InstanceData],
        metas: Sequence[dict],
        ignored: Sequence[InstanceData | None] | None,
        plan: TransportPlan,
        result: AssignResult | None = None,
    ) -> None:
        # Priors of detectors without anchors are points.
        boxes = preds[0].get('bboxes', preds[0].get('priors'))
        if boxes is None or boxes.shape[-1] != 4:
            return
        batch = InstanceBatch(preds, gts, metas)
        left_out = list(ignored or batch.ignored)
        record = Record(
            get_box_tensor(boxes),
            plan,
            self.assigner,
            batch,
            left_out,
            result,
        )
        self.records.append(record)


def record_matching(model: nn.Module, sample: dict) -> MatchedImage:
    """What a detector matches in an image, to be drawn.

    Args:
        model (nn.Module): See :func:`record_last`.
        sample (dict): See :func:`record_last`.

    Returns:
        MatchedImage: Of the last decoder layer; elsewhere of what is matched
        first, anchors for most heads.

    Raises:
        ValueError: If the sample has no ground truths, or the model matches
            no boxes.
    """
    record = record_last(model, sample)
    return MatchedImage(
        image=sample['inputs'],
        pred_boxes=record.boxes,
        gt_boxes=get_box_tensor(sample['data_samples'].gt_instances.bboxes),
        plan=record.plan,
    )


def record_last(model: nn.Module, sample: dict) -> Record:
    """Computes the losses of a detector and notes what is matched.

    Layers such as dropout and batch normalisation do as in testing. Neither
    the model nor the random numbers of a training change.

    Args:
        model (nn.Module): Any detector of mmdet, built with its `train_cfg`.
        sample (dict): What its dataset holds: ``inputs`` (C, H, W) and
            ``data_samples`` with ``gt_instances``.

    Returns:
        Record: Of the last decoder layer; elsewhere of what is matched
        first, anchors for most heads.

    Raises:
        ValueError: If the sample has no ground truths, or the model matches
            no boxes.
    """
    if 'gt_instances' not in sample['data_samples']:
        raise ValueError(
            'the sample has no gt_instances to match; add LoadAnnotations to '
            'the pipeline'
        )
    data = model.data_preprocessor(
        pseudo_collate([copy.deepcopy(sample)]), training=False
    )
    with _unchanged(model), _recording(model) as records, torch.no_grad():
        model(**data, mode='loss')
    if not records:
        raise ValueError(
            f'{type(model).__name__} has no assigner that matches boxes'
        )
    return _last_layer(records, model)


def _last_layer(records: list[Record], model: nn.Module) -> Record:
    """The decoder's last layer; what follows are proposals of the encoder."""
    decoder = getattr(model, 'decoder', None)
    layers = 1 if records[0].last_layer else getattr(decoder, 'num_layers', 1)
    return records[min(layers, len(records)) - 1]


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Lets a model compute its losses and puts everything back."""
    training = {module: module.training for module in model.modules()}
    # Some losses keep running averages.
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    states = random.getstate(), np.random.get_state()
    model.eval()
    # Without a flag of its own DINO and Deformable DETR leave out what their
    # losses need.
    model.training = True
    devices = {buffer.device for buffer in model.parameters()}
    gpus = [device for device in devices if device.type == 'cuda']
    try:
        with torch.random.fork_rng(gpus):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for buffer, before in buffers:
            buffer.copy_(before)
        for module, flag in training.items():
            module.training = flag


@contextmanager
def _recording(model: nn.Module) -> Iterator[list[Record]]:
    """Puts a recorder in the place of each assigner."""
    records: list[Record] = []
    held = [
        (vars(module), name, value)
        for module in model.modules()
        for name, value in vars(module).items()
    ]
    # One per stage of a cascade.
    held += [
        (values, index, value)
        for _, _, values in held
        if isinstance(values, list)
        for index, value in enumerate(values)
    ]
    places = [x for x in held if isinstance(x[2], BaseAssigner)]
    for holder, key, assigner in places:
        holder[key] = Recorder(assigner, records)
    try:
        yield records
    finally:
        for holder, key, assigner in places:
            holder[key] = assigner
