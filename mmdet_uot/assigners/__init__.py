"""Assigners registered in MMDetection's ``TASK_UTILS``.

- ``uot_assigner``, ``sinkhorn_assigner``: costs to problem to plan
- ``matcher``: the numbers of the problem, and the presets
- ``any_assigner``: what heads call, with our assigners and mmdet's
- ``hard_view``: a plan as what stock heads expect
"""

from .._host import check_host

check_host()

from ..costs import GaussianWassersteinCost, OneMinusIoUCost, OneMinusProbCost
from .any_assigner import match_batch, match_layers
from .matcher import PRESETS
from .sinkhorn_assigner import SinkhornAssigner
from .uot_assigner import UOTAssigner

__all__ = [
    'PRESETS',
    'GaussianWassersteinCost',
    'OneMinusIoUCost',
    'OneMinusProbCost',
    'SinkhornAssigner',
    'UOTAssigner',
    'match_batch',
    'match_layers',
]
