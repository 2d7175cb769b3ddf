"""Assigners registered in MMDetection's ``TASK_UTILS``.

- ``plan_assigner``: a cost, masses, a solver and a view make a plan
- ``uot_assigner``, ``sinkhorn_assigner``: the same with flat options
- ``watch``: what the matching of a training leaves out
- ``any_assigner``: what heads call, with our assigners and mmdet's
- ``hard_view``: a plan as what stock heads expect
- ``find``: the assigners of a model
"""

from .._host import check_host

check_host()

from ..costs import (
    GaussianWassersteinCost,
    MatchingCost,
    OneMinusIoUCost,
    OneMinusProbCost,
)
from ..masses import Mass
from ..ot import PRESETS
from .any_assigner import hard_indices, match_batch, match_layers
from .find import find_assigners
from .hard_view import HardView, hard_results
from .plan_assigner import PlanAssigner
from .sinkhorn_assigner import SinkhornAssigner
from .uot_assigner import UOTAssigner

__all__ = [
    'PRESETS',
    'GaussianWassersteinCost',
    'HardView',
    'Mass',
    'MatchingCost',
    'OneMinusIoUCost',
    'OneMinusProbCost',
    'PlanAssigner',
    'SinkhornAssigner',
    'UOTAssigner',
    'find_assigners',
    'hard_indices',
    'hard_results',
    'match_batch',
    'match_layers',
]
