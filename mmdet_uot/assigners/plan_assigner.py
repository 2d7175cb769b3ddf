"""Match costs to a transport plan, for a whole batch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from mmdet.models.task_modules.assigners import AssignResult, BaseAssigner
from mmdet.models.task_modules.assigners.match_cost import (
    BaseMatchCost,
)
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from .._options import named_options
from ..costs.matching_cost import MatchingCost
from ..inputs.from_decoder import TensorBatch
from ..inputs.from_instances import InstanceBatch
from ..inputs.instances import check_ignored
from ..inputs.match_batch import MatchBatch
from ..masses import Mass
from ..ot import (
    CheapestSolver,
    DualSoftmaxSolver,
    ExactSolver,
    MatchingProblem,
    ScalingSolver,
    Solver,
    TransportPlan,
    TwoStageSolver,
    concatenate,
    full_precision,
)
from .by_overlaps import match_overlaps
from .hard_view import HardView
from .watch import MatchingWatch

__all__ = ['PlanAssigner', 'check_fit']

# The solvers themselves know nothing of mmdet.
for _solver in (
    CheapestSolver,
    DualSoftmaxSolver,
    ExactSolver,
    ScalingSolver,
    TwoStageSolver,
):
    TASK_UTILS.register_module(module=_solver)


@TASK_UTILS.register_module()
@named_options
class PlanAssigner(BaseAssigner):
    """Assigns by a transport plan: what pairs cost, masses, solver, view.

    Heads that know plans call :meth:`match` with the batch. Every other head
    of mmdet calls :meth:`assign` with one image and gets a hard view of the
    same plan. :class:`UOTAssigner` and :class:`SinkhornAssigner` are this
    one with flat options.

    Args:
        cost (dict | MatchingCost, optional): Config of a
            :class:`MatchingCost`, or one. Defaults to the paper's for SSD.
        mass (dict | Mass, optional): Config of a :class:`Mass`, or one.
            Defaults to the paper's for SSD.
        solver (dict | Solver, optional): Config of a ``ScalingSolver``, which
            is the default type, ``ExactSolver``, ``TwoStageSolver``,
            ``CheapestSolver`` or ``DualSoftmaxSolver``, or one.
        view (dict | HardView, optional): Config of a :class:`HardView`, or
            one.
        memory_budget (int): Bytes that the matching may take. What needs
            more is solved some images at a time, see
            :meth:`MatchBatch.entry_bytes`; a ``cost_scaling='batch_max'``
            needs them all at once. Defaults to 2**29.

    Raises:
        ValueError: If an option is out of its range, or solver and masses do
            not fit.
    """

    def __init__(
        self,
        *,
        cost: dict | MatchingCost | None = None,
        mass: dict | Mass | None = None,
        solver: dict | Solver | None = None,
        view: dict | HardView | None = None,
        memory_budget: int = 2**29,
    ) -> None:
        self.cost: MatchingCost = _build(cost, 'MatchingCost')
        self.mass: Mass = _build(mass, 'Mass')
        self.solver: Solver = _build(solver, 'ScalingSolver')
        self.view: HardView = _build(view, 'HardView')
        check_fit(self.mass, self.solver)
        if not isinstance(memory_budget, int) or memory_budget < 1:
            raise ValueError(
                'memory_budget must be a positive number of bytes, got '
                f'{memory_budget!r}'
            )
        self.memory_budget = memory_budget
        self.watch = MatchingWatch(self.cost)

    @property
    def match_costs(self) -> list[BaseMatchCost]:
        """The match costs that are added up."""
        return self.cost.match_costs

    def with_numbers(self, **numbers: float) -> tuple[Mass, Solver]:
        """Masses and solver of which some numbers differ.

        Args:
            **numbers: Some of tau1, tau2, gt_mass and the options of the
                solver.

        Returns:
            tuple[Mass, Solver]: With the others as they were.

        Raises:
            ValueError: If they do not take the numbers together.
        """
        names = numbers.keys() & {'tau1', 'tau2', 'gt_mass'}
        masses = {name: numbers.pop(name) for name in names}
        mass = replace(self.mass, **masses)
        try:
            solver = replace(self.solver, **numbers)
        except TypeError:
            raise ValueError(
                f'{type(self.solver).__name__} takes no {", ".join(numbers)}'
            ) from None
        check_fit(mass, solver)
        return mass, solver

    def set_numbers(self, **numbers: float) -> None:
        """Goes on with other numbers, see :meth:`with_numbers`."""
        self.mass, self.solver = self.with_numbers(**numbers)

    def match(
        self,
        batch_pred_instances: Sequence[InstanceData],
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict] | None = None,
        batch_gt_instances_ignore: Sequence[InstanceData | None] | None = None,
    ) -> TransportPlan:
        """Matches a batch of images (or of images and layers) in one solve.

        Args:
            batch_pred_instances (Sequence[InstanceData]): Per image, what
                the match costs need of ``bboxes`` or ``priors`` (N, 4),
                ``scores`` (N, C), ``masks``.
            batch_gt_instances (Sequence[InstanceData]): Per image,
                ``bboxes`` (m, 4), ``labels`` (m,), ``masks``.
            batch_img_metas (Sequence[dict], optional): Per image, for costs
                that need ``img_shape``. Defaults to None.
            batch_gt_instances_ignore (Sequence[InstanceData], optional): Per
                image, ``bboxes`` that are ignored; entries may be None.
                Defaults to None.

        Returns:
            TransportPlan: float32 weights (B, N, M + 1).

        Raises:
            TypeError: If a sequence does not hold InstanceData.
            ValueError: If the lengths do not fit, or a match cost lacks what
                it needs.
        """
        batch = InstanceBatch(
            batch_pred_instances, batch_gt_instances, batch_img_metas
        )
        ignore = batch_gt_instances_ignore
        if ignore is not None:
            check_ignored(ignore, len(batch))
        return self._match(batch, ignore)

    def match_layers(
        self,
        scores: Tensor,
        boxes: Tensor,
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict],
    ) -> TransportPlan:
        """Matches the layers of a decoder with a batch, in one solve.

        Args:
            scores (Tensor): (L, B, N, C) logits.
            boxes (Tensor): (L, B, N, 4) boxes, xyxy in pixels.
            batch_gt_instances (Sequence[InstanceData]): Per image.
            batch_img_metas (Sequence[dict]): Per image.

        Returns:
            TransportPlan: float32 weights (L * B, N, M + 1), layer by layer.

        Raises:
            TypeError: If a sequence does not hold InstanceData.
            ValueError: If the sizes do not fit, or a match cost lacks what
                it needs.
        """
        return self._match(
            TensorBatch(scores, boxes, batch_gt_instances, batch_img_metas)
        )

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        img_meta: dict | None = None,
        **kwargs: Any,
    ) -> AssignResult:
        """Matches one image and returns a hard view of the plan.

        Args:
            pred_instances (InstanceData): See :meth:`match`.
            gt_instances (InstanceData): See :meth:`match`.
            gt_instances_ignore (InstanceData, optional): Ignored boxes.
            img_meta (dict, optional): For costs that need ``img_shape``.
            **kwargs: Not used; stock heads pass more.

        Returns:
            AssignResult: ``gt_inds`` (N,), 1-based, 0 for background, -1 for
            ignored; ``max_overlaps`` (N,), greatest IoU with a ground truth,
            -1 for ignored, None where predictions have no boxes; ``labels``
            (N,), -1 where there is none; ``plan``, the plan of the image.
        """
        plan = self.match(
            [pred_instances],
            [gt_instances],
            [img_meta or {}],
            [gt_instances_ignore],
        )
        result = self.view(plan, self.mass, pred_instances, gt_instances)
        result.plan = plan
        return result

    def problem(
        self,
        batch: MatchBatch,
        batch_ignore: Sequence[InstanceData | None],
    ) -> MatchingProblem:
        """What is to be solved: costs and masses of a batch.

        Args:
            batch (MatchBatch): B images.
            batch_ignore (Sequence[InstanceData | None]): Per image, ignored
                ``bboxes``, or None.

        Returns:
            MatchingProblem: Cost (B, N, M + 1).
        """
        costs = self.cost(
            batch, batch_ignore, self.solver.is_exact, self._insists
        )
        return self.mass(costs, batch)

    @property
    def _insists(self) -> bool:
        """Whether ground truths insist on their mass."""
        return isinstance(self.solver, TwoStageSolver) or self.mass.tau2 >= 1

    def solve(
        self, problem: MatchingProblem, overwrite_cost: bool = False
    ) -> TransportPlan:
        """Solves a problem; the plan may take the memory of its costs."""
        mass = self.mass
        return self.solver(problem, mass.tau1, mass.tau2, overwrite_cost)

    @torch.no_grad()
    def _match(
        self,
        batch: MatchBatch,
        batch_ignore: Sequence[InstanceData | None] | None = None,
    ) -> TransportPlan:
        batch_ignore = batch_ignore or batch.ignored
        budget = self.memory_budget
        if self.cost.scale.joins_images:
            budget = sys.maxsize
        with full_precision(batch.device):
            plan: TransportPlan | None = match_overlaps(
                batch,
                batch_ignore,
                self.cost,
                self.mass,
                self.solver,
                self._insists,
            )
            if plan is None:
                plans = (
                    self._match_part(part, batch_ignore[entries])
                    for entries, part in batch.parts(
                        budget, self.solver.copies
                    )
                )
                plan = concatenate(plans, batch.shape)
            self.watch(batch, plan)
            return plan

    def _match_part(
        self,
        batch: MatchBatch,
        batch_ignore: Sequence[InstanceData | None],
    ) -> TransportPlan:
        if max(batch.num_preds) == 0:
            return _no_predictions(batch)
        problem = self.problem(batch, batch_ignore)
        return self.solve(problem, overwrite_cost=True)


def check_fit(mass: Mass, solver: Solver) -> None:
    """Raises ValueError if a solver cannot take what the masses ask for."""
    solver.check(mass.tau1, mass.tau2)
    if mass.has_range and not solver.takes_ranges:
        raise ValueError(
            f'gt_mass={tuple(mass.gt_mass)} is a range, which '
            f'{type(solver).__name__} does not take; give a positive epsilon '
            'without such a preset, or one mass'
        )


def _no_predictions(batch: MatchBatch) -> TransportPlan:
    indices = torch.empty(
        (len(batch.num_preds), 0), dtype=torch.int64, device=batch.device
    )
    return TransportPlan.from_indices(indices, max(batch.num_gts))


def _build(part: Any, default: str) -> Any:
    """An object as it is, or that of a config, which need not name a type."""
    if part is None or isinstance(part, dict):
        return TASK_UTILS.build({'type': default, **(part or {})})
    return part
