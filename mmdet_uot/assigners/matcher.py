"""Which matcher solves the problem: the paper's numbers, and named presets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .._options import check_choice
from ..ot import (
    EPSILON_RULES,
    MatchingProblem,
    TransportPlan,
    check_corner,
    dual_softmax,
    scale_epsilon,
    solve,
    support_size,
    to_device,
    two_stage,
)

__all__ = ['PRESETS', 'Matcher', 'Preset']


@dataclass(frozen=True)
class Preset:
    """A classical matcher as a value of the problem's numbers.

    Args:
        tau1 (float): Weight of the predictions' mass constraint.
        tau2 (float): Weight of the ground truths' mass constraint.
        hard_view (str): View of the plan for stock heads.
        exact (bool): Whether epsilon is 0. Defaults to False.
        epsilon (float, optional): What epsilon is unless it is given.
        solver (Callable, optional): What replaces ``ot.solve``: takes the
            problem, and epsilon unless ``exact``. Defaults to None.
    """

    tau1: float
    tau2: float
    hard_view: str = 'best_ground_truth'
    exact: bool = False
    epsilon: float | None = None
    solver: Callable[..., TransportPlan] | None = None


PRESETS: dict[str, Preset] = {
    'hungarian': Preset(math.inf, math.inf, 'one_to_one', exact=True),
    'closest_ground_truth': Preset(math.inf, 0.0, exact=True),
    'closest_prediction': Preset(0.0, math.inf, 'best_prediction', exact=True),
    'ssd_two_stage': Preset(math.inf, 0.0, exact=True, solver=two_stage),
    'softmax_over_ground_truths': Preset(math.inf, 0.0),
    'softmax_over_predictions': Preset(0.0, math.inf, 'best_prediction'),
    'dual_softmax': Preset(
        math.inf, math.inf, epsilon=1.0, solver=dual_softmax
    ),
    'balanced': Preset(math.inf, math.inf, 'one_to_one'),
}


class Matcher:
    """Solves matching problems with fixed numbers.

    Args:
        preset (str, optional): Name in ``PRESETS``; fixes tau1, tau2 and
            whether epsilon is 0.
        tau1 (float | str, optional): Weight of the predictions' mass
            constraint. Defaults to 100.
        tau2 (float | str, optional): Weight of the ground truths' mass
            constraint. Defaults to 0.01.
        epsilon (float, optional): Entropic regularisation.
        epsilon0 (float, optional): Its scale. Defaults to 0.12.
        epsilon_rule (str): How the scale becomes an epsilon.
        num_iters (int): Iterations of the scaling algorithm.

    Raises:
        ValueError: If an option is out of its range, or a combination has no
            meaning.
    """

    def __init__(
        self,
        *,
        preset: str | None,
        tau1: float | str | None,
        tau2: float | str | None,
        epsilon: float | None,
        epsilon0: float | None,
        epsilon_rule: str,
        num_iters: int,
    ) -> None:
        self._options = dict(
            preset=preset,
            tau1=tau1,
            tau2=tau2,
            epsilon=epsilon,
            epsilon0=epsilon0,
            epsilon_rule=epsilon_rule,
            num_iters=num_iters,
        )
        self.solver = None
        if preset is not None:
            check_choice('preset', preset, tuple(PRESETS))
            fixed = PRESETS[preset]
            given = dict(tau1=tau1, tau2=tau2)
            if fixed.exact:
                given.update(epsilon=epsilon, epsilon0=epsilon0)
                epsilon = 0.0
            for name, value in given.items():
                if value is not None:
                    raise ValueError(
                        f'preset={preset!r} fixes {name}, got {name}={value}; '
                        'leave out one of the two (with _delete_=True, if it '
                        'comes from a base config)'
                    )
            if epsilon is None and epsilon0 is None:
                epsilon = fixed.epsilon
            if epsilon == 0 and not fixed.exact and fixed.solver:
                raise ValueError(
                    f'preset={preset!r} needs a positive epsilon, got 0; at '
                    "epsilon=0 there is preset='hungarian'"
                )
            tau1, tau2, self.solver = fixed.tau1, fixed.tau2, fixed.solver
        if epsilon is not None and epsilon0 is not None:
            raise ValueError(
                f'give epsilon or epsilon0, not both: got epsilon={epsilon} '
                f'and epsilon0={epsilon0}'
            )
        self.tau1 = _parse_tau('tau1', 100.0 if tau1 is None else tau1)
        self.tau2 = _parse_tau('tau2', 0.01 if tau2 is None else tau2)
        self.epsilon = epsilon
        self.epsilon0 = 0.12 if epsilon0 is None else epsilon0
        self.epsilon_rule = epsilon_rule
        self.num_iters = num_iters

        for name, value in (('epsilon', epsilon), ('epsilon0', epsilon0)):
            if value is None:
                continue
            number = isinstance(value, (int, float))
            if number and name == 'epsilon' and value == 0:
                check_corner(self.tau1, self.tau2)
            elif not number or not 0 < value < math.inf:
                raise ValueError(
                    f'{name} must be positive and finite, got {value!r}; '
                    'epsilon=0 asks for an exact matcher'
                )
        if not isinstance(num_iters, int) or num_iters < 1:
            raise ValueError(
                'num_iters must be a whole number of at least 1, got '
                f'{num_iters!r}'
            )
        check_choice('epsilon_rule', epsilon_rule, (*EPSILON_RULES, 'support'))

    @property
    def exact(self) -> bool:
        """Whether epsilon is 0."""
        return self.epsilon == 0

    @property
    def copies(self) -> int:
        """How much the matching holds at most, in float32 plans."""
        # Works in float64, out of place; sorts the plan.
        many = self.solver is dual_softmax or self.epsilon_rule == 'support'
        return 12 if many else 8

    def replace(self, **numbers: float) -> Matcher:
        """Returns a matcher of which some numbers differ.

        Args:
            **numbers: Some of the arguments of the class.

        Returns:
            Matcher: With the other arguments as they were given to this one.

        Raises:
            ValueError: If the class does not take them together.
        """
        return Matcher(**{**self._options, **numbers})

    def __call__(
        self,
        problem: MatchingProblem,
        num_preds: Sequence[int],
        overwrite_cost: bool = False,
    ) -> TransportPlan:
        """Solves a batch of problems.

        Args:
            problem (MatchingProblem): Costs (B, N, M + 1) and masses.
            num_preds (Sequence[int]): Number of predictions of each image,
                which its epsilon scales with.
            overwrite_cost (bool): Whether the plan may take the memory of
                ``problem.cost``. Defaults to False.

        Returns:
            TransportPlan: Weights (B, N, M + 1).
        """
        if self.epsilon is not None:
            return self._solve(problem, self.epsilon, overwrite_cost)
        support = self.epsilon_rule == 'support'
        rule = 'log_n' if support else self.epsilon_rule
        values = {
            count: scale_epsilon(max(count, 1), self.epsilon0, rule)
            for count in set(num_preds)
        }
        # One number for all images, where there is one, is solved faster.
        epsilon: float | Tensor = values[num_preds[0]]
        if len(values) > 1:
            of_images = [values[count] for count in num_preds]
            device = problem.cost.device
            epsilon = to_device(of_images, device, torch.float64)
        if support:
            plan = self._solve(problem, epsilon)
            size = support_size(plan.weights)
            epsilon = self.epsilon0 / (size.double().log() + 1)
        return self._solve(problem, epsilon, overwrite_cost)

    def _solve(
        self,
        problem: MatchingProblem,
        epsilon: float | Tensor,
        overwrite_cost: bool = False,
    ) -> TransportPlan:
        if self.solver is not None:
            options = {} if self.exact else dict(epsilon=epsilon)
            return self.solver(problem, **options)
        return solve(
            problem,
            epsilon=epsilon,
            tau1=self.tau1,
            tau2=self.tau2,
            num_iters=self.num_iters,
            overwrite_cost=overwrite_cost,
        )


def _parse_tau(name: str, value: float | str) -> float:
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
