"""How far plans are from their limits, on a problem as that of Fig. 8."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from mmdet_uot.ot import (
    EXACT_CORNERS,
    MatchingProblem,
    dual_softmax,
    sinkhorn,
    solve,
)
from mmdet_uot.visualization.grid_figure import draw_grid

from .markdown import table

__all__ = ['draw', 'example', 'measure', 'tabulate']

INF = math.inf
EPSILONS = (1.0, 0.3, 0.1, 0.03, 0.01)
# The dual softmax grows without bound as epsilon gets smaller.
SOFTMAX_EPSILONS = (10.0, 3.0, 1.0, 0.3, 0.1)
TAUS = (1e4, 1e2, 1.0, 1e-2, 1e-4)
# Of the plans between the limits.
EPSILON = 0.3
NUM_ITERS = 3_000


def example() -> MatchingProblem:
    """Five predictions, three ground truths, a background cost of 2.

    Returns:
        MatchingProblem: Cost (1, 5, 4) float64.
    """
    cost = [
        [0.7, 1.9, 3.1],
        [2.6, 0.4, 1.3],
        [1.5, 2.3, 0.2],
        [0.9, 0.6, 2.8],
        [3.4, 2.7, 3.9],
    ]
    matrix = torch.tensor(cost, dtype=torch.float64)
    return MatchingProblem.from_costs([matrix], background_cost=2.0)


def measure(threads: int) -> dict[str, list[dict]]:
    """Greatest differences from the limits, in units of N P.

    Args:
        threads (int): Not used: there is nothing to share.

    Returns:
        dict[str, list[dict]]: ``epsilon``: foreground and exact matcher, for
        each corner; ``softmax``: plan and formula; ``tau``: plans at taus
        and at their limits.
    """
    return dict(epsilon=_by_epsilon(), softmax=_softmax(), tau=_by_tau())


def tabulate(values: dict[str, list[dict]]) -> str:
    """Three tables."""
    parts = [
        'The greatest difference of $N P_{ij}$ from the limit, on five '
        'predictions, three ground truths and a background, in float64.',
        "Without regularisation (Prop. 1 and 2): the ground truths' columns "
        'against the exact matcher.',
        _table('matcher', 'epsilon', values['epsilon']),
        'Softmax (Prop. 3 and 4, Eq. 21 and 26 to 28): the plan against the '
        'formula, divided by its greatest number.',
        _table('formula', 'epsilon', values['softmax']),
        f'Constraints (epsilon = {EPSILON:g}): the plan against that of the '
        'limit.',
        _table('limit', 'tau', values['tau']),
    ]
    return '\n\n'.join(parts)


def draw(values: dict[str, list[dict]], path: Path) -> None:
    """The plans over a grid of epsilon and tau."""
    figure = draw_grid(
        example(),
        epsilons=(0.0, 0.1, 1.0, 10.0),
        num_iters=NUM_ITERS,
        title='Five predictions, three ground truths (Fig. 8)',
    )
    figure.savefig(path)


def _table(name: str, symbol: str, rows: list[dict]) -> str:
    return table(
        [name, *(f'{symbol} = {key}' for key in rows[0]['distances'])],
        (
            [row['name'], *(f'{x:.1e}' for x in row['distances'].values())]
            for row in rows
        ),
    )


def _by_epsilon() -> list[dict]:
    problem = example()
    rows = []
    for (tau1, tau2), matcher in EXACT_CORNERS.items():
        exact = matcher(problem).foreground
        distances = {
            epsilon: _distance(
                solve(
                    problem,
                    epsilon=epsilon,
                    tau1=tau1,
                    tau2=tau2,
                    num_iters=NUM_ITERS,
                ).foreground,
                exact,
            )
            for epsilon in EPSILONS
        }
        rows.append(_row(matcher.__name__.replace('_', ' '), distances))
    return rows


def _softmax() -> list[dict]:
    problem = example()
    cost = problem.cost[0]
    N, columns = cost.shape
    M = columns - 1
    rows: dict[str, dict[float, float]] = {}
    for epsilon in SOFTMAX_EPSILONS:
        kernel = (-cost / epsilon).exp()
        over_preds = kernel / kernel.sum(0)
        over_gts = kernel / kernel.sum(1, keepdim=True)
        both = (M + 1) * over_preds * over_gts / kernel
        for scaled in (over_preds, both):
            scaled[:, -1] *= N - M
        first = dual_softmax(problem, epsilon=epsilon)
        for name, plan, formula in (
            ('over predictions', _solved(epsilon, 0.0, INF), over_preds),
            ('over ground truths', _solved(epsilon, INF, 0.0), over_gts),
            ('dual softmax', first.weights[0], both),
        ):
            distance = _distance(plan, formula) / formula.max().item()
            rows.setdefault(name, {})[epsilon] = distance
    return [_row(name, distances) for name, distances in rows.items()]


def _by_tau() -> list[dict]:
    def distances(
        first: str, limits: tuple[float, float]
    ) -> dict[float, float]:
        limit = _solved(EPSILON, *limits)
        second = dict(tau1='tau2', tau2='tau1')[first]
        fixed = {second: INF}
        return {
            tau: _distance(_solved(EPSILON, **{first: tau}, **fixed), limit)
            for tau in TAUS
        }

    return [
        _row('tau2 to inf: balanced', distances('tau2', (INF, INF))),
        _row('tau2 to 0: over ground truths', distances('tau2', (INF, 0.0))),
        _row('tau1 to inf: balanced', distances('tau1', (INF, INF))),
        _row('tau1 to 0: over predictions', distances('tau1', (0.0, INF))),
    ]


def _solved(epsilon: float, tau1: float, tau2: float) -> Tensor:
    plan = sinkhorn(
        example(), epsilon=epsilon, tau1=tau1, tau2=tau2, num_iters=NUM_ITERS
    )
    return plan.weights[0]


def _row(name: str, distances: dict[float, float]) -> dict:
    return dict(
        name=name,
        distances={f'{key:g}': value for key, value in distances.items()},
    )


def _distance(plan: Tensor, limit: Tensor) -> float:
    return (plan - limit).abs().max().item()
