"""Match costs registered in MMDetection's ``TASK_UTILS``, and their sum.

- ``paper_costs``, ``wasserstein_cost``: costs that mmdet does not have
- ``batched_cost``, ``pairs``: what these are made of
- ``whole_batch``, ``compiled``: any cost for a whole batch, in torch and in C
- ``matching_cost``, ``bad_costs``: the cost of a matching problem
"""

from .._host import check_host

check_host()

from .batched_cost import BatchedCost
from .matching_cost import MatchingCost
from .paper_costs import OneMinusIoUCost, OneMinusProbCost
from .wasserstein_cost import GaussianWassersteinCost

__all__ = [
    'BatchedCost',
    'GaussianWassersteinCost',
    'MatchingCost',
    'OneMinusIoUCost',
    'OneMinusProbCost',
]
