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
from ..ot import TransportPlan
from ..visualization.matched_image import MatchedImage

__all__ = ['record_matching']


class Record(NamedTuple):
    """Predictions (N, 4), xyxy in pixels, and the plan of their image."""

    boxes: Tensor
    plan: TransportPlan
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
        self, scores: Tensor, boxes: Tensor, *args: Any
    ) -> TransportPlan:
        """Matches layers of a decoder, of which the last one is noted."""
        plan = match_layers(self.assigner, scores, boxes, *args)
        error = plan.marginal_error
        last = TransportPlan(
            plan.weights[-1:],
            plan.pred_mass[-1:],
            plan.gt_mass[-1:],
            marginal_error=None if error is None else error[-1:],
        )
        self.records.append(Record(boxes[-1, 0], last, last_layer=True))
        return plan

    def match(
        self, preds: Sequence[InstanceData], *args: Any
    ) -> TransportPlan:
        """Matches anchors or predictions."""
        plan = match_batch(self.assigner, preds, *args)
        self._note(preds[0], plan)
        return plan

    def assign(self, *args: Any, **kwargs: Any) -> AssignResult:
        """What stock heads call, once per image and layer."""
        result = self.assigner.assign(*args, **kwargs)
        bound = signature(self.assigner.assign).bind(*args, **kwargs)
        preds = bound.arguments['pred_instances']
        if hasattr(self.assigner, 'match'):
            plan = self.assigner.match(
                [preds],
                [bound.arguments['gt_instances']],
                [bound.arguments.get('img_meta') or {}],
                [bound.arguments.get('gt_instances_ignore')],
            )
        else:
            gt_inds = result.gt_inds[None]
            plan = TransportPlan.from_indices(
                gt_inds - 1, result.num_gts, ignored=gt_inds < 0
            )
        self._note(preds, plan)
        return result

    def _note(self, preds: InstanceData, plan: TransportPlan) -> None:
        # Priors of detectors without anchors are points.
        boxes = preds.get('bboxes', preds.get('priors'))
        if boxes is not None and boxes.shape[-1] == 4:
            self.records.append(Record(get_box_tensor(boxes), plan))


def record_matching(model: nn.Module, sample: dict) -> MatchedImage:
    """Computes the losses of a detector and notes what is matched.

    Layers such as dropout and batch normalisation do as in testing. Neither
    the model nor the random numbers of a training change.

    Args:
        model (nn.Module): Any detector of mmdet, built with its `train_cfg`.
        sample (dict): What its dataset holds: ``inputs`` (C, H, W) and
            ``data_samples`` with ``gt_instances``.

    Returns:
        MatchedImage: Of the last decoder layer; elsewhere of what is matched
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
    boxes, plan, _ = _last_layer(records, model)
    return MatchedImage(
        image=sample['inputs'],
        pred_boxes=boxes,
        gt_boxes=get_box_tensor(sample['data_samples'].gt_instances.bboxes),
        plan=plan,
    )


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
