"""The phases of a training step of SSD300 (paper, Table 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import DATASETS, MODELS, TASK_UTILS
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_uot.inputs.from_instances import InstanceBatch
from mmdet_uot.ot import TransportPlan

from .cases import costs_alone
from .competitors import Call
from .configs import load_config
from .timing import Clock, Time

__all__ = [
    'MATCHINGS',
    'ONCE',
    'Phase',
    'TrainingStep',
    'step_ms',
    'time_training_step',
]

CONFIG = 'ssd300_uot_cpu'

# The columns of Table 4, from the same costs.
MATCHINGS = {
    'OT': ConfigDict(type='UOTAssigner', preset='balanced'),
    'unbalanced OT': ConfigDict(type='UOTAssigner'),
    'Hungarian': ConfigDict(type='UOTAssigner', preset='hungarian'),
    'two-stage': ConfigDict(type='UOTAssigner', preset='ssd_two_stage'),
}

ONCE = 'anchors'
"""Made for the first batch and remembered, so no part of the other steps."""


@dataclass(frozen=True)
class Phase:
    """A row of Table 4.

    Attributes:
        name (str): What is done.
        times (dict[str, Time]): Name in ``MATCHINGS`` -> how long it takes.
    """

    name: str
    times: dict[str, Time]


class TrainingStep:
    """One step of training, cut into calls that can be repeated.

    The model is that of the CPU configs, the images those of Color Boxes.

    Args:
        folder (str): Where the images are made.
        num_images (int): Batch size. Defaults to 16.
        device (torch.device | str): Device of the model. Defaults to the
            CPU.
    """

    def __init__(
        self,
        folder: str,
        *,
        num_images: int = 16,
        device: torch.device | str = 'cpu',
    ) -> None:
        cfg = load_config(CONFIG)
        dataset = dict(
            cfg.train_dataloader.dataset,
            data_root=folder,
            num_images=num_images,
        )
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            self.dataset = DATASETS.build(dataset)
            self.model = MODELS.build(cfg.model)
        self.model.to(device).train()
        self.head = self.model.bbox_head
        self.parameters = tuple(self.model.parameters())
        self.batch = self.data()
        self.gts, _, self.metas = unpack_gt_instances(
            self.batch['data_samples']
        )
        self.outputs = self.forward()
        priors = InstanceData(priors=torch.cat(self.anchors()))
        self.preds = [priors] * num_images

    def data(self) -> dict:
        """Loads, transforms and normalises the images."""
        samples = [self.dataset[index] for index in range(len(self.dataset))]
        return self.model.data_preprocessor(
            pseudo_collate(samples), training=True
        )

    def anchors(self) -> list[Tensor]:
        """Makes the anchors of each level."""
        sizes = [scores.shape[-2:] for scores in self.outputs[0]]
        device = self.outputs[0][0].device
        return self.head.prior_generator.grid_priors(sizes, device=device)

    def forward(self) -> tuple[list[Tensor], list[Tensor]]:
        """Class scores and box deltas of each level."""
        return self.head(self.model.extract_feat(self.batch['inputs']))

    def phases(self, config: ConfigDict) -> dict[str, Call]:
        """Costs, matching, losses and backward pass with one assigner."""
        assigner = TASK_UTILS.build(config)
        batch = partial(InstanceBatch, self.preds, self.gts, self.metas)
        costs = partial(costs_alone, assigner, batch)
        match = partial(assigner.solve, costs())
        losses = partial(self.losses, match())
        total, _ = self.model.parse_losses(losses())
        backward = partial(
            torch.autograd.grad, total, self.parameters, retain_graph=True
        )
        return dict(
            costs=costs, matching=match, losses=losses, backward=backward
        )

    def losses(self, plan: TransportPlan) -> dict[str, list[Tensor]]:
        """The losses under a plan."""
        self.head.assigner = _Matched(plan)
        return self.head.loss_by_feat(*self.outputs, self.gts, self.metas)


@dataclass(frozen=True)
class _Matched:
    """Stands in for an assigner whose work is done."""

    plan: TransportPlan

    def match(self, *args: object) -> TransportPlan:
        return self.plan


def time_training_step(step: TrainingStep, clock: Clock) -> Iterator[Phase]:
    """Times the phases of a step.

    Args:
        step (TrainingStep): The step.
        clock (Clock): What takes the times.

    Yields:
        Phase: Data, anchors and forward pass, which all matchings share;
        costs, matching, losses and backward pass.
    """
    for shared in (step.data, step.anchors, step.forward):
        time = clock(shared)
        yield Phase(shared.__name__, dict.fromkeys(MATCHINGS, time))
    calls = {name: step.phases(config) for name, config in MATCHINGS.items()}
    for phase in calls['OT']:
        times = {name: clock(calls[name][phase]) for name in MATCHINGS}
        yield Phase(phase, times)


def step_ms(phases: Iterable[Phase], matching: str) -> float:
    """Milliseconds of a whole step but the first."""
    return sum(
        phase.times[matching].ms for phase in phases if phase.name != ONCE
    )
