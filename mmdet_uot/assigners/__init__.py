"""Assigners and match costs registered in MMDetection's ``TASK_UTILS``."""

from .._host import check_host

check_host()

from .assign_result import match_batch, match_layers
from .match_costs import OneMinusIoUCost, OneMinusProbCost
from .matcher import PRESETS
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
