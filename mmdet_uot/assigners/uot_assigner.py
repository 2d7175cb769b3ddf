"""Unbalanced optimal transport with flat options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.registry import TASK_UTILS

from .._options import check_choice, named_options
from ..costs.matching_cost import BackgroundCost, MatchingCost
from ..masses import GtMass, Mass
from ..ot import (
    PRESETS,
    DualSoftmaxSolver,
    ExactSolver,
    Preset,
    ScalingSolver,
    Solver,
)
from .hard_view import HardView
from .plan_assigner import PlanAssigner, check_fit
from .presets import PRESET_OPTIONS

__all__ = ['UOTAssigner']

_DEFAULTS = dict(
    background_cost=0.5, cost_scaling='unit', gt_mass=1.0, num_iters=20
)


@TASK_UTILS.register_module()
@named_options
class UOTAssigner(PlanAssigner):
    r"""Assigns by Unbalanced Optimal Transport (paper, Def. 4).

    Without options this is the paper's setting for SSD: the cost is 1 - IoU
    of the ground truths with the anchors (or boxes), the background costs
    0.5, the predictions' mass is all but fixed and the ground truths' mass
    all but free.

    Args:
        match_costs (list[dict] | dict, optional): See :class:`MatchingCost`,
            as ``background_cost``, ``candidates``, ``cost_scaling``,
            ``bad_costs``, ``ignore_iof_thr``, ``ignore_wrt_candidates`` and
            ``ignore_band``.
        preset (str, optional): A matcher by name, which fixes tau1, tau2 and
            whether epsilon is 0: ``'hungarian'``,
            ``'closest_ground_truth'``, ``'closest_prediction'``,
            ``'ssd_two_stage'``, ``'softmax_over_ground_truths'``,
            ``'softmax_over_predictions'``, ``'dual_softmax'`` or
            ``'balanced'``. ``'ota'``, ``'sim_ota'``, ``'task_aligned'`` and
            ``'one_to_many'`` bring costs, candidates and masses that may be
            given differently, and take epsilon, see :mod:`.presets`.
            Defaults to None.
        tau1 (float | str, optional): See :class:`Mass`, as ``tau2`` and
            ``gt_mass``.
        epsilon (float, optional): See :class:`ScalingSolver`, as
            ``epsilon0``, ``epsilon_rule``, ``num_iters``, ``relaxation`` and
            ``tol``. 0 asks for the
            exact matcher of the corner (tau1, tau2).
        hard_view (str, optional): See :class:`HardView`.
        memory_budget (int): See :class:`PlanAssigner`.

    Raises:
        TypeError: If an option is of another type.
        ValueError: If an option is out of its range, or a combination has no
            meaning.
    """

    def __init__(
        self,
        *,
        match_costs: Sequence[dict] | dict | None = None,
        background_cost: BackgroundCost | None = None,
        candidates: Sequence[dict] | dict | None = None,
        preset: str | None = None,
        tau1: float | str | None = None,
        tau2: float | str | None = None,
        gt_mass: GtMass | None = None,
        epsilon: float | None = None,
        epsilon0: float | None = None,
        epsilon_rule: str = 'log_2n',
        num_iters: int | None = None,
        relaxation: float = 1.0,
        tol: float = 0.0,
        cost_scaling: str | float | None = None,
        hard_view: str | None = None,
        ignore_iof_thr: float = -1.0,
        ignore_wrt_candidates: bool = True,
        ignore_band: tuple[float, float] | None = None,
        bad_costs: str = 'replace',
        memory_budget: int = 2**29,
    ) -> None:
        self._numbers: dict[str, Any] = dict(
            preset=preset,
            tau1=tau1,
            tau2=tau2,
            gt_mass=gt_mass,
            epsilon=epsilon,
            epsilon0=epsilon0,
            epsilon_rule=epsilon_rule,
            num_iters=num_iters,
            relaxation=relaxation,
            tol=tol,
        )
        mass, solver = self.with_numbers()
        if preset is not None and hard_view is None:
            hard_view = PRESETS[preset].view
        cost = dict(
            match_costs=match_costs,
            background_cost=background_cost,
            candidates=candidates,
            cost_scaling=cost_scaling,
        )
        super().__init__(
            cost=MatchingCost(
                **_filled(preset, cost),
                bad_costs=bad_costs,
                ignore_iof_thr=ignore_iof_thr,
                ignore_wrt_candidates=ignore_wrt_candidates,
                ignore_band=ignore_band,
            ),
            mass=mass,
            solver=solver,
            view=HardView(hard_view=hard_view),
            memory_budget=memory_budget,
        )

    def with_numbers(self, **numbers: float) -> tuple[Mass, Solver]:
        """See :class:`PlanAssigner`; a preset keeps what it fixes."""
        mass, solver = _translate(**{**self._numbers, **numbers})
        check_fit(mass, solver)
        return mass, solver


def _translate(
    preset: str | None,
    tau1: float | str | None,
    tau2: float | str | None,
    **given: Any,
) -> tuple[Mass, Solver]:
    """Flat options to the objects that own them."""
    fixed = None
    if preset is not None:
        check_choice('preset', preset, tuple(PRESETS))
        fixed = PRESETS[preset]
        _check_free(preset, fixed, tau1=tau1, tau2=tau2, **given)
        tau1, tau2 = fixed.tau1, fixed.tau2
    scaling = _filled(preset, given)
    mass = Mass(
        tau1=100.0 if tau1 is None else tau1,  # type: ignore[arg-type]
        tau2=0.01 if tau2 is None else tau2,  # type: ignore[arg-type]
        gt_mass=scaling.pop('gt_mass'),
    )
    return mass, _solver(fixed, **scaling)


def _solver(
    fixed: Preset | None, epsilon: float | None, **scaling: Any
) -> Solver:
    is_zero = isinstance(epsilon, (int, float)) and epsilon == 0
    is_soft = not is_zero and (epsilon or scaling['epsilon0']) is not None
    if fixed is not None and fixed.solver.is_exact and not is_soft:
        return fixed.solver
    if fixed is not None and isinstance(fixed.solver, DualSoftmaxSolver):
        if is_zero:
            raise ValueError(
                "preset='dual_softmax' needs a positive epsilon, got 0; at "
                "epsilon=0 there is preset='hungarian'"
            )
        rule = {k: scaling[k] for k in ('epsilon0', 'epsilon_rule')}
        return DualSoftmaxSolver(epsilon=epsilon, **rule)
    solver = ScalingSolver(epsilon=None if is_zero else epsilon, **scaling)
    return ExactSolver() if is_zero else solver


def _filled(preset: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """Options, of which those left out are the preset's or the defaults."""
    defaults = {**_DEFAULTS, **PRESET_OPTIONS.get(preset or '', {})}
    solver = PRESETS[preset].solver if preset in PRESETS else None
    if isinstance(solver, ScalingSolver):
        defaults['num_iters'] = solver.num_iters
        if given.get('epsilon0') is None:
            defaults['epsilon'] = solver.epsilon
    return {
        name: defaults.get(name) if value is None else value
        for name, value in given.items()
    }


def _check_free(preset: str, fixed: Preset, **given: Any) -> None:
    """Raises ValueError for numbers that a preset fixes."""
    names = ['tau1', 'tau2']
    if fixed.solver.is_exact and not fixed.softens:
        names += ['epsilon', 'epsilon0']
    for name in names:
        if given[name] is not None:
            raise ValueError(
                f'preset={preset!r} fixes {name}, got {name}={given[name]}; '
                'leave out one of the two (with _delete_=True, if it comes '
                'from a base config)'
            )
