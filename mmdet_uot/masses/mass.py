"""The masses of a matching problem."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mmdet.registry import TASK_UTILS

from ..costs.matching_cost import Costs
from ..inputs.match_batch import MatchBatch
from ..ot import MatchingProblem
from .option import MassRange, most_asked, numbers_of, parse_gt_mass

__all__ = ['Mass']


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class Mass:
    r"""What predictions and ground truths ask for, and how firmly.

    Each of N predictions has the mass 1/N, each ground truth that of k
    predictions; the background takes the rest (paper, Prop. 1, with k = 1).
    Ground truths that ask for more than there is share it in proportion. The
    weights :math:`\tau_1` and :math:`\tau_2` say how much a deviation costs
    (Def. 4).

    Args:
        tau1 (float | str): Weight of the predictions' mass constraint, in
            [0, inf]: 0 drops it, inf makes it hard; configs may write
            ``'inf'``. Defaults to 100.
        tau2 (float | str): Weight of the ground truths' mass constraint.
            Defaults to 0.01.
        gt_mass (float | str | dict | Callable | Sequence): How many
            predictions each ground truth asks for, k: one number; the name of
            a field of ``gt_instances``; or the config of a registered class,
            such as :class:`DynamicMass`, that takes a :class:`MatchBatch` and
            returns (B, M). Two of these are a range, (least, greatest),
            between which there is no constraint; the greatest may be
            ``'inf'``. Defaults to 1.

    Raises:
        TypeError: If ``gt_mass`` is of another type.
        ValueError: If a number is out of its range.
    """

    tau1: float = 100.0
    tau2: float = 0.01
    gt_mass: Any = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, 'gt_mass', parse_gt_mass(self.gt_mass))
        for name in ('tau1', 'tau2'):
            object.__setattr__(self, name, _parse(name, getattr(self, name)))

    def __call__(self, costs: Costs, batch: MatchBatch) -> MatchingProblem:
        """Gives the costs (B, N, M + 1) of a batch their masses."""
        asked, at_most = self.gt_mass, None
        if self.has_range:
            asked, most = self.gt_mass
            at_most = numbers_of(most, batch)
        return MatchingProblem.from_masks(
            *costs,
            asked=numbers_of(asked, batch),
            at_most=at_most,
            most_asked=most_asked(self.gt_mass),
        )

    @property
    def has_range(self) -> bool:
        """Whether ground truths ask for a range of masses."""
        return isinstance(self.gt_mass, MassRange)


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
