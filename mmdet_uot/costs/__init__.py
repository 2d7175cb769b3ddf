"""Match costs registered in MMDetection's ``TASK_UTILS``, and their sum.

- ``paper_costs``, ``wasserstein_cost``, ``log_costs``, ``class_losses``: costs
  that mmdet does not have, of pairs and of the background
- ``candidates``: which pairs may be matched at all
- ``batched_cost``, ``pairs``: what these are made of
- ``whole_batch``, ``compiled``: any cost for a whole batch, in torch and in C
- ``matching_cost``, ``bad_costs``: the cost of a matching problem
"""

from .._host import check_host

check_host()

from .batched_cost import BatchedCost
from .candidates import (
    AnyCandidate,
    CenterRegion,
    InsideBox,
    IoUAbove,
)
from .center_cost import CenterDistanceCost
from .class_losses import (
    BatchedBackgroundCost,
    BinaryBackgroundCost,
    BinaryClassCost,
    FocalBackgroundCost,
    FocalClassCost,
    PositionModulatedCost,
    SoftLabelCost,
)
from .log_costs import AlignmentCost, NegLogIoUCost, PowerCost
from .matching_cost import MatchingCost
from .paper_costs import OneMinusIoUCost, OneMinusProbCost
from .wasserstein_cost import GaussianWassersteinCost

__all__ = [
    'AlignmentCost',
    'AnyCandidate',
    'BatchedBackgroundCost',
    'BatchedCost',
    'BinaryBackgroundCost',
    'BinaryClassCost',
    'CenterDistanceCost',
    'CenterRegion',
    'FocalBackgroundCost',
    'FocalClassCost',
    'GaussianWassersteinCost',
    'InsideBox',
    'IoUAbove',
    'MatchingCost',
    'NegLogIoUCost',
    'OneMinusIoUCost',
    'OneMinusProbCost',
    'PositionModulatedCost',
    'PowerCost',
    'SoftLabelCost',
]
