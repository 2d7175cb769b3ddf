"""One image as its assigner is asked, and what it answers."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..assigners import PlanAssigner
from ..costs.candidates import name_of
from ..inputs.bad_numbers import BadNumberLog
from ..inputs.overlaps import pairwise_overlaps
from ..matched_images.record import Record
from ..ot import MatchingProblem, TransportPlan

__all__ = [
    'ENOUGH',
    'Answer',
    'Question',
    'is_served',
    'is_too_much',
    'with_setting',
]

# An object is served with this share of the mass that it asks for.
ENOUGH = 0.9


@dataclass(frozen=True, eq=False)
class Answer:
    """What M objects get.

    Args:
        plan (TransportPlan): (1, N, M + 1) weights.
        asked (Tensor): (2, M) least and greatest mass that objects ask for, 1
            being that of a prediction; equal where they ask for one mass, 0
            for those that take no part.
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
        got = self.got if self.counts is None else self.counts
        return is_served(got, self.asked, self.counts is not None)

    @property
    def takes_part(self) -> Tensor:
        """(M,) bool, whether an object asks for anything."""
        return self.asked[1] > 0

    @property
    def too_much(self) -> Tensor:
        """(M,) bool, whether that is beyond the range asked for."""
        return is_too_much(self.plan)[0]


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
    def excluded(self) -> list[tuple[str, Tensor]]:
        """Rules for candidates, and the pairs (M, N) that each excludes."""
        rules = self.assigner.cost.candidates if self.is_ours else None
        if rules is None:
            return []
        batch = self.record.batch
        return [(name_of(rule), ~rule(batch)[0]) for rule in rules.rules]

    @cached_property
    def candidates(self) -> Tensor:
        """(M, N) bool, the pairs that may be matched; of our assigners."""
        live = self.problem.pred_mass[0] > 0
        allowed = live.expand(len(self.answer.got), -1)
        for _, excluded in self.excluded:
            allowed = allowed & ~excluded
        return allowed

    @property
    def all_excluded(self) -> Tensor:
        """(M,) bool, objects of which rules exclude every prediction."""
        if not self.excluded:
            return torch.zeros_like(self.answer.takes_part)
        has_area = self.record.batch.gt_valid()[0]
        live = bool((self.problem.pred_mass > 0).any())
        return has_area & ~self.candidates.any(1) & live

    def excluding(self, j: int, i: int) -> str:
        """The rules that exclude prediction i from object j, in words."""
        return ' and '.join(
            name for name, excluded in self.excluded if excluded[j, i]
        )

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
        return Answer(plan, torch.ones_like(plan.gt_asked[:, 0, :-1]), counts)

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
        asked = plan.gt_asked[:, 0, :-1]
        if self.record.result is None:
            return Answer(plan, asked)
        indices = assigner.view.indices(plan, assigner.mass)[0]
        counts = indices[indices >= 0].bincount(minlength=asked.shape[1])
        return Answer(plan, asked, counts)

    def _problem(self, assigner: PlanAssigner) -> MatchingProblem:
        record = self.record
        with torch.no_grad():
            return assigner.problem(record.batch, record.ignored)


def is_served(got: Tensor, asked: Tensor, is_hard: bool) -> Tensor:
    """Whether objects get enough.

    Args:
        got (Tensor): (...) mass, or number of predictions in a hard view.
        asked (Tensor): (2, ...) least and greatest mass asked for.
        is_hard (bool): Whether it is a hard view, where one prediction
            serves an object.

    Returns:
        Tensor: (...) bool, False for objects that take no part.
    """
    least, greatest = asked
    needed = ENOUGH * least
    if is_hard:
        needed = needed.clamp(max=0.5)
    return (greatest > 0) & (got >= needed)


def is_too_much(plan: TransportPlan) -> Tensor:
    """(B, M) bool, whether objects get more than the range they ask for."""
    got = plan.gt_marginal[:, :-1]
    if plan.gt_range is None:
        return torch.zeros_like(got, dtype=torch.bool)
    return ENOUGH * got > plan.gt_asked[1, :, :-1]


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
