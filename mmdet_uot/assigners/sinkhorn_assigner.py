"""Balanced optimal transport, the soft counterpart of HungarianAssigner."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.registry import TASK_UTILS

from .._options import named_options
from ..costs.matching_cost import BackgroundCost
from ..masses import GtMass
from .uot_assigner import UOTAssigner

__all__ = ['SinkhornAssigner']


@TASK_UTILS.register_module()
@named_options
class SinkhornAssigner(UOTAssigner):
    r"""Assigns by balanced optimal transport (paper, Def. 3 and Prop. 1).

    Both mass constraints are hard: every ground truth receives the mass of
    one prediction, or of ``gt_mass``, the rest goes to the background. With
    ``epsilon=0`` this is the Hungarian algorithm.

    Args:
        background_cost (float | Sequence): A constant changes nothing
            but the way to convergence. Defaults to 0.
        epsilon (float, optional): See :class:`UOTAssigner`, as all others.

    Raises:
        TypeError: If an option is of another type.
        ValueError: If an option is out of its range.
    """

    def __init__(
        self,
        *,
        match_costs: Sequence[dict] | dict | None = None,
        background_cost: BackgroundCost = 0.0,
        candidates: Sequence[dict] | dict | None = None,
        gt_mass: GtMass = 1.0,
        epsilon: float | None = None,
        epsilon0: float | None = None,
        epsilon_rule: str = 'log_2n',
        num_iters: int = 20,
        relaxation: float = 1.0,
        tol: float = 0.0,
        cost_scaling: str | float = 'unit',
        hard_view: str | None = None,
        ignore_iof_thr: float = -1.0,
        ignore_wrt_candidates: bool = True,
        ignore_band: tuple[float, float] | None = None,
        bad_costs: str = 'replace',
        memory_budget: int = 2**29,
    ) -> None:
        super().__init__(
            match_costs=match_costs,
            background_cost=background_cost,
            preset='balanced' if epsilon != 0 else 'hungarian',
            candidates=candidates,
            gt_mass=gt_mass,
            epsilon=epsilon or None,
            epsilon0=epsilon0,
            epsilon_rule=epsilon_rule,
            num_iters=num_iters,
            relaxation=relaxation,
            tol=tol,
            cost_scaling=cost_scaling,
            hard_view=hard_view,
            ignore_iof_thr=ignore_iof_thr,
            ignore_wrt_candidates=ignore_wrt_candidates,
            ignore_band=ignore_band,
            bad_costs=bad_costs,
            memory_budget=memory_budget,
        )
