"""One image as its assigner is asked, and what it answers."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..assigners import PlanAssigner
from ..inputs.bad_numbers import BadNumberLog
from ..inputs.overlaps import pairwise_overlaps
from ..matched_images.record import Record
from ..ot import MatchingProblem, TransportPlan

__all__ = ['ENOUGH', 'Answer', 'Question', 'with_setting']

# An object is served with this share of the mass that it asks for.
ENOUGH = 0.9


@dataclass(frozen=True, eq=False)
class Answer:
    """What M objects get.

    Args:
        plan (TransportPlan): (1, N, M + 1) weights.
        asked (Tensor): (M,) mass that objects ask for, 1 being that of a
            prediction; 0 for those that take no part.
        counts (Tensor, optional): (M,) predictions that a head gets which
            knows no plans.
    """

    plan: TransportPlan
    asked: Tensor
    counts: Tensor | None = None

    @cached_property
    def got(self) -> Tensor:
        """(M,) mass that objects get."""
        return self.plan.gt_marginal[0, :-1]

    @cached_property
    def served(self) -> Tensor:
        """(M,) bool, whether that is enough."""
        if self.counts is not None:
            return self.counts > 0
        return (self.asked > 0) & (self.got >= ENOUGH * self.asked)


@dataclass(frozen=True, eq=False)
class Question:
    """One image as its assigner is asked.

    Args:
        record (Record): What was asked and answered in training.
    """

    record: Record

    @property
    def is_ours(self) -> bool:
        """Whether the assigner has costs and masses."""
        return isinstance(self.record.assigner, PlanAssigner)

    def count(self, number: int) -> str:
        """A number of predictions, or of anchors, in words."""
        noun = 'anchor' if self.record.batch.are_priors else 'prediction'
        return f'{number} {noun}{"s" * (number != 1)}'

    @property
    def assigner(self) -> PlanAssigner:
        """The assigner, one of ours."""
        return self.record.assigner

    @cached_property
    def problem(self) -> MatchingProblem:
        """Costs (1, N, M + 1) and masses, as the solver takes them."""
        return self._problem(with_setting(self.assigner))

    @cached_property
    def ious(self) -> Tensor:
        """(M, N) IoU of objects with predictions."""
        batch = self.record.batch
        boxes = batch.boxes[0].nan_to_num(0.0)
        return pairwise_overlaps(batch.gt_boxes[0], boxes.to(batch.gt_boxes))

    @cached_property
    def answer(self) -> Answer:
        """What the objects get as things are."""
        if self.is_ours:
            return self.ask()
        # Of a stock assigner the plan is its matches.
        plan = self.record.plan
        counts = plan.gt_marginal[0, :-1].round().long()
        return Answer(plan, torch.ones_like(plan.gt_marginal[0, :-1]), counts)

    def ask(self, **setting: Any) -> Answer:
        """What the objects would get.

        Args:
            **setting: See :func:`with_setting`.

        Returns:
            Answer: By the solver and, for heads that know no plans, the view
            of the assigner.

        Raises:
            ValueError: If the assigner does not take the setting.
        """
        assigner = with_setting(self.assigner, **setting)
        problem = self._problem(assigner) if setting else self.problem
        plan = assigner.solve(problem)
        num_preds = problem.num_preds[0]
        asked = problem.gt_mass[0, :-1] * num_preds
        if self.record.result is None:
            return Answer(plan, asked)
        indices = assigner.view.indices(plan, assigner.mass)[0]
        counts = indices[indices >= 0].bincount(minlength=len(asked))
        return Answer(plan, asked, counts)

    def _problem(self, assigner: PlanAssigner) -> MatchingProblem:
        record = self.record
        with torch.no_grad():
            return assigner.problem(record.batch, record.ignored)


def with_setting(assigner: PlanAssigner, **setting: Any) -> PlanAssigner:
    """An assigner of which some numbers differ; the given one stays.

    Args:
        assigner (PlanAssigner): One of ours.
        **setting: ``background_cost``, one number; ``more_background``,
            which is added where there is one number per prediction; ``tau1``,
            ``tau2`` and the numbers of the solver.

    Returns:
        PlanAssigner: Another one, that says nothing of what it sees.

    Raises:
        ValueError: If the assigner does not take the numbers together.
    """
    changed = copy(assigner)
    changed.watch = _say_nothing
    changed.cost = copy(assigner.cost)
    changed.cost.log = BadNumberLog(_say_nothing)
    more = setting.pop('more_background', 0.0)
    background = setting.pop('background_cost', assigner.cost.background_cost)
    changed.cost.background_cost = background + more
    if setting:
        changed.mass, changed.solver = changed.with_numbers(**setting)
    return changed


def _say_nothing(*_: Any) -> str:
    return ''
