"""The masses of a matching problem."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mmdet.registry import TASK_UTILS

from ..costs.matching_cost import Costs
from ..ot import MatchingProblem

__all__ = ['Mass']


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class Mass:
    r"""What predictions and ground truths ask for, and how firmly.

    Each of N predictions has the mass 1/N, each ground truth too; the
    background takes the rest (paper, Prop. 1). The weights :math:`\tau_1`
    and :math:`\tau_2` say how much a deviation costs (Def. 4).

    Args:
        tau1 (float | str): Weight of the predictions' mass constraint, in
            [0, inf]: 0 drops it, inf makes it hard; configs may write
            ``'inf'``. Defaults to 100.
        tau2 (float | str): Weight of the ground truths' mass constraint.
            Defaults to 0.01.

    Raises:
        ValueError: If a weight is out of its range.
    """

    tau1: float = 100.0
    tau2: float = 0.01

    def __post_init__(self) -> None:
        for name in ('tau1', 'tau2'):
            object.__setattr__(self, name, _parse(name, getattr(self, name)))

    def __call__(self, costs: Costs) -> MatchingProblem:
        """Gives costs (B, N, M + 1) their masses."""
        return MatchingProblem.from_masks(*costs)


def _parse(name: str, value: float | str) -> float:
    try:
        tau = float(value)
    except (TypeError, ValueError):
        tau = math.nan
    if not tau >= 0:
        raise ValueError(
            f"{name} must be a number in [0, inf] or 'inf', got {value!r}; 0 "
            "drops the mass constraint, 'inf' makes it hard"
        )
    return tau
