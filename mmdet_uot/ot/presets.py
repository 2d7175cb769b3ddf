"""The classical matchers as values: solver, masses' weights and view."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .solver import (
    DualSoftmaxSolver,
    ExactSolver,
    ScalingSolver,
    Solver,
    TwoStageSolver,
)

__all__ = ['PRESETS', 'Preset']


@dataclass(frozen=True)
class Preset:
    """A matcher by name.

    Args:
        solver (Solver): Who solves it.
        tau1 (float): Weight of the predictions' mass constraint.
        tau2 (float): Weight of the ground truths' mass constraint.
        view (str): Hard view of the plan for stock heads, a method of
            :class:`TransportPlan`. Defaults to ``'best_ground_truth'``.
    """

    solver: Solver
    tau1: float
    tau2: float
    view: str = 'best_ground_truth'


PRESETS: dict[str, Preset] = {
    'hungarian': Preset(ExactSolver(), math.inf, math.inf, 'one_to_one'),
    'closest_ground_truth': Preset(ExactSolver(), math.inf, 0.0),
    'closest_prediction': Preset(
        ExactSolver(), 0.0, math.inf, 'best_prediction'
    ),
    'ssd_two_stage': Preset(TwoStageSolver(), math.inf, 0.0),
    'softmax_over_ground_truths': Preset(ScalingSolver(), math.inf, 0.0),
    'softmax_over_predictions': Preset(
        ScalingSolver(), 0.0, math.inf, 'best_prediction'
    ),
    'dual_softmax': Preset(DualSoftmaxSolver(), math.inf, math.inf),
    'balanced': Preset(ScalingSolver(), math.inf, math.inf, 'one_to_one'),
}
