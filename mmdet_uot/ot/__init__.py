"""Optimal transport for matching: problem, solver, plan.

Pure torch (and lapx or SciPy for the exact corners); knows no detector.
"""

from .cheapest import cheapest_predictions
from .concatenate import concatenate
from .device import may_hold, to_device
from .diagnostics import has_one_to_one, heaviest_prediction, plan_entropy
from .dual_softmax import dual_softmax
from .epsilon import EPSILON_RULES, scale_epsilon, support_size
from .exact import (
    EXACT_CORNERS,
    check_corner,
    closest_ground_truth,
    closest_prediction,
    hungarian,
    two_stage,
)
from .finite import beyond, replace_non_finite
from .numbers import Numbers
from .plan import TransportPlan, WeightedPairs
from .precision import full_precision
from .presets import PRESETS, Preset
from .problem import Bounds, MatchingProblem, valid_mask
from .regularised import DualSoftmaxSolver, ScalingSolver
from .scaling.sinkhorn import sinkhorn
from .solver import (
    CheapestSolver,
    ExactSolver,
    Solver,
    TwoStageSolver,
    solve,
)
from .sparse_plan import SparsePlan

__all__ = [
    'Bounds',
    'CheapestSolver',
    'DualSoftmaxSolver',
    'EPSILON_RULES',
    'EXACT_CORNERS',
    'ExactSolver',
    'MatchingProblem',
    'Numbers',
    'PRESETS',
    'Preset',
    'ScalingSolver',
    'Solver',
    'SparsePlan',
    'TransportPlan',
    'TwoStageSolver',
    'WeightedPairs',
    'beyond',
    'cheapest_predictions',
    'check_corner',
    'closest_ground_truth',
    'closest_prediction',
    'concatenate',
    'dual_softmax',
    'full_precision',
    'has_one_to_one',
    'heaviest_prediction',
    'hungarian',
    'may_hold',
    'plan_entropy',
    'replace_non_finite',
    'scale_epsilon',
    'sinkhorn',
    'solve',
    'support_size',
    'to_device',
    'two_stage',
    'valid_mask',
]
