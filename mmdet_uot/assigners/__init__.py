"""Assigners and match costs registered in MMDetection's ``TASK_UTILS``.

- ``matching``: what heads call, with any assigner
- ``uot_assigner``, ``sinkhorn_assigner``: costs to problem to plan
- ``matcher``: the numbers of the problem, and the presets
- ``problem_builder``, ``bad_costs``: costs to problem, whatever they hold
- ``batch``, ``batches``, ``batched_costs``: the costs of a whole batch
- ``match_costs``, ``wasserstein_cost``: costs that mmdet does not have
- ``assign_result``, ``ignore``: hard views and ignored boxes for stock heads
"""

from .._host import check_host

check_host()

from .match_costs import OneMinusIoUCost, OneMinusProbCost
from .matcher import PRESETS
from .matching import match_batch, match_layers
from .sinkhorn_assigner import SinkhornAssigner
from .uot_assigner import UOTAssigner
from .wasserstein_cost import GaussianWassersteinCost

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
