"""Assigners and match costs registered in MMDetection's ``TASK_UTILS``.

- ``matching``: what heads call, with any assigner
- ``uot_assigner``, ``sinkhorn_assigner``: costs to problem to plan
- ``matcher``: the numbers of the problem, and the presets
- ``batch``, ``batched_costs``, ``match_costs``: the costs of a whole batch
- ``assign_result``, ``ignore``: hard views and ignored boxes for stock heads
"""

from .._host import check_host

check_host()

from .match_costs import OneMinusIoUCost, OneMinusProbCost
from .matcher import PRESETS
from .matching import match_batch, match_layers
from .sinkhorn_assigner import SinkhornAssigner
from .uot_assigner import UOTAssigner

__all__ = [
    'PRESETS',
    'OneMinusIoUCost',
    'OneMinusProbCost',
    'SinkhornAssigner',
    'UOTAssigner',
    'match_batch',
    'match_layers',
]
