"""The classical matchers as values: solver, masses' weights and view."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .regularised import DualSoftmaxSolver, ScalingSolver
from .solver import (
    CheapestSolver,
    ExactSolver,
    Solver,
    TwoStageSolver,
)

__all__ = ['PRESETS', 'Preset']


@dataclass(frozen=True)
class Preset:
    """A matcher by name.

    Args:
        solver (Solver): Who solves it, unless epsilon is given.
        tau1 (float): Weight of the predictions' mass constraint.
        tau2 (float): Weight of the ground truths' mass constraint.
        view (str, optional): Hard view of the plan for stock heads, a method
            of :class:`TransportPlan`. Defaults to None: that of the weights.
        softens (bool): Whether epsilon may be given: the scaling algorithm
            then solves it, for 0 the exact matcher. Defaults to False.
    """

    solver: Solver
    tau1: float
    tau2: float
    view: str | None = None
    softens: bool = False


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
    # Hungarian of DETR with every ground truth k times.
    'one_to_many': Preset(
        ExactSolver(), math.inf, math.inf, 'one_to_one', softens=True
    ),
    'ota': Preset(
        ScalingSolver(epsilon=0.1, num_iters=50),
        math.inf,
        math.inf,
        'best_ground_truth',
        softens=True,
    ),
    'sim_ota': Preset(
        CheapestSolver(),
        math.inf,
        math.inf,
        'best_ground_truth',
        softens=True,
    ),
    'dynamic_soft_label': Preset(
        CheapestSolver(),
        math.inf,
        math.inf,
        'best_ground_truth',
        softens=True,
    ),
    'task_aligned': Preset(
        CheapestSolver(),
        math.inf,
        math.inf,
        'best_ground_truth',
        softens=True,
    ),
}
