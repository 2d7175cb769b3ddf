"""Match costs registered in MMDetection's ``TASK_UTILS``, and their sum.

- ``paper_costs``, ``wasserstein_cost``: costs that mmdet does not have
- ``whole_batch``, ``compiled``: the costs of a whole batch, in torch and in C
- ``matching_cost``, ``bad_costs``: the costs of a matching problem
"""

from .._host import check_host

check_host()

from .paper_costs import OneMinusIoUCost, OneMinusProbCost
from .wasserstein_cost import GaussianWassersteinCost

__all__ = [
    'GaussianWassersteinCost',
    'OneMinusIoUCost',
    'OneMinusProbCost',
]
