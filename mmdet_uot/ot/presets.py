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
        view (str, optional): Hard view of the plan for stock heads, a method
            of :class:`TransportPlan`. Defaults to None: that of the weights.
    """

    solver: Solver
    tau1: float
    tau2: float
    view: str | None = None


PRESETS: dict[str, Preset] = {
    'hungarian': Preset(ExactSolver(), math.inf, math.inf),
    'closest_ground_truth': Preset(ExactSolver(), math.inf, 0.0),
    'closest_prediction': Preset(ExactSolver(), 0.0, math.inf),
    'ssd_two_stage': Preset(TwoStageSolver(), math.inf, 0.0),
    'softmax_over_ground_truths': Preset(ScalingSolver(), math.inf, 0.0),
    'softmax_over_predictions': Preset(ScalingSolver(), 0.0, math.inf),
    # Respects no mass.
    'dual_softmax': Preset(
        DualSoftmaxSolver(), math.inf, math.inf, 'best_ground_truth'
    ),
    'balanced': Preset(ScalingSolver(), math.inf, math.inf),
}
