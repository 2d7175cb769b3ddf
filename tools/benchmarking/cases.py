"""The workloads: what the shipped configs match in a training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.registry import TASK_UTILS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmdet_uot.assigners import UOTAssigner
from mmdet_uot.datasets.color_boxes import ColorBoxesOptions
from mmdet_uot.inputs.match_batch import MatchBatch
from mmdet_uot.ot import MatchingProblem

from .competitors import Call
from .configs import load_config, load_stock_config
from .inputs import Inputs, anchor_inputs, query_inputs, sample_objects
from .task import Task

__all__ = ['WORKLOADS', 'Case', 'costs_alone', 'draw_case']

# Name on the command line -> config whose matching is timed.
WORKLOADS = {
    'ssd300': 'ssd300_uot',
    'ssd512': 'ssd512_uot',
    'detr': 'detr_ot',
    'deformable': 'deformable_detr_ot',
    'dino': 'dino_ot_coco',
    'retinanet': 'retinanet_uot_cpu',
}
# Other masses; and candidates and a band, which need anchors.
_MASSES = {
    'gt_mass=3': dict(gt_mass=3.0),
    'a range of masses': dict(gt_mass=(1.0, 3.0)),
    'DynamicMass': dict(gt_mass=dict(type='DynamicMass')),
}
_CANDIDATES = {
    'InsideBox': dict(candidates=dict(type='InsideBox', priors='boxes')),
    'IoUAbove': dict(candidates=dict(type='IoUAbove', threshold=0.1)),
    'ignore_band': dict(ignore_band=(0.4, 0.5)),
}


@dataclass(frozen=True)
class Case:
    """A batch that is ready to be matched.

    Attributes:
        task (Task): The matching problem that our assigner makes of it.
        calls (dict[str, Callable]): Name -> costs and solve of the batch,
            with our assigner first, then with mmdet's, image by image, and
            in other ways.
    """

    task: Task
    calls: dict[str, Call]


def draw_case(
    workload: str,
    *,
    num_images: int = 16,
    max_objects: int = 30,
    seed: int = 0,
    device: torch.device | str = 'cpu',
) -> Case:
    """Draws a batch of a workload.

    Anchors, costs and the number of queries, layers and classes are those of
    the config, but for RetinaNet's anchors, which are mmdet's; objects are
    those of Color Boxes.

    Args:
        workload (str): Name in ``WORKLOADS``.
        num_images (int): Images of the batch. Defaults to 16.
        max_objects (int): The number of objects of an image is uniform from
            0 to this. Defaults to 30.
        seed (int): Seed of all that is drawn. Defaults to 0.
        device (torch.device | str): Where it is. Defaults to the CPU.

    Returns:
        Case: The batch.

    Raises:
        ValueError: If the workload is unknown.
    """
    if workload not in WORKLOADS:
        raise ValueError(
            f'workload must be one of {list(WORKLOADS)}, got {workload!r}'
        )
    model = load_config(WORKLOADS[workload]).model
    if workload == 'retinanet':
        stock = load_stock_config('_base_/models/retinanet_r50_fpn')
        model.bbox_head.anchor_generator = (
            stock.model.bbox_head.anchor_generator
        )
    options = ColorBoxesOptions(seed=seed, max_objects=max_objects)
    objects = [
        sample_objects(options, index, device) for index in range(num_images)
    ]
    anchors = 'anchor_generator' in model.bbox_head
    draw = anchor_inputs if anchors else query_inputs
    variants = {**_MASSES, **(_CANDIDATES if anchors else {})}
    inputs = draw(model, objects, options)
    return _case(model.train_cfg.assigner, inputs, variants)


def costs_alone(
    assigner: UOTAssigner, make_batch: Callable[[], MatchBatch]
) -> MatchingProblem:
    """What an assigner does before it solves, for the whole batch at once.

    Args:
        assigner (UOTAssigner): One of ours.
        make_batch (Callable): Makes the batch, which remembers what it pads.

    Returns:
        MatchingProblem: Cost (B, N, M + 1).
    """
    batch = make_batch()
    ignore = [None] * len(batch)
    return assigner.problem(batch, ignore)


def _case(
    config: ConfigDict, inputs: Inputs, variants: dict[str, dict]
) -> Case:
    ours = TASK_UTILS.build(config)
    costs = partial(costs_alone, ours, inputs.make_batch)
    problem = costs()
    numbers = ours.solver.numbers(problem, ours.mass.tau1, ours.mass.tau2)
    task = Task(
        problem,
        numbers.epsilon,
        numbers.tau1,
        numbers.tau2,
        numbers.num_iters,
    )
    calls = {
        config.type: partial(inputs.match, ours),
        f'{config.type}, costs alone': costs,
    }
    for name, options in variants.items():
        variant = TASK_UTILS.build({**config, **options})
        calls[f'{config.type}, {name}'] = partial(inputs.match, variant)
    for name, (rival, preds) in inputs.rivals.items():
        assign = TASK_UTILS.build(rival).assign
        calls[f'{name}, by image'] = partial(_by_image, assign, preds, inputs)
    return Case(task, {**calls, **inputs.calls})


def _by_image(
    assign: Callable[..., AssignResult],
    preds: Sequence[InstanceData],
    inputs: Inputs,
) -> list[AssignResult]:
    return [
        assign(pred, gt, img_meta=meta)
        for pred, gt, meta in zip(preds, inputs.gts, inputs.metas)
    ]
