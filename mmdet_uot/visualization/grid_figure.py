"""One problem solved over a grid of epsilon, tau1 and tau2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..ot import EXACT_CORNERS, MatchingProblem, solve
from .heat_map import add_mass_bar, label_cells, show_weights
from .rows import leading_rows
from .style import BACKGROUND, new_figure

__all__ = ['draw_grid']

TAUS = (
    (math.inf, math.inf),
    (math.inf, 0.1),
    (math.inf, 0.0),
    (0.0, math.inf),
)
LEAST_ROWS = 7
MOST_NAMES = 8
KEY = rf"""rows: predictions
columns: ground truths
{BACKGROUND}, gray: background

$\epsilon$: how soft it is
$\tau_1$: how firmly each
    prediction keeps its mass
$\tau_2$: how firmly each
    ground truth keeps its"""


def draw_grid(
    problem: MatchingProblem,
    *,
    epsilons: Sequence[float] = (0.0, 0.01, 0.05, 0.2),
    taus: Sequence[tuple[float, float]] = TAUS,
    num_iters: int = 1000,
    max_rows: int = 12,
    title: str = 'One problem, many matchings',
) -> Figure:
    r"""Draws the plans of one problem over a grid (Fig. 4, 7 and 8).

    Args:
        problem (MatchingProblem): Of one image, without padding: cost
            (1, N, M + 1).
        epsilons (Sequence[float]): The columns. Defaults to 0, 0.01, 0.05
            and 0.2.
        taus (Sequence[tuple[float, float]]): The rows,
            :math:`(\tau_1, \tau_2)`. Defaults to the three that have an
            exact matcher, and one between the first two.
        num_iters (int): Iterations where epsilon is positive. Defaults to
            1000, so that they converge.
        max_rows (int): Most predictions to draw, those of the least costs.
            Defaults to 12.
        title (str): Heading. Defaults to 'One problem, many matchings'.

    Returns:
        Figure: With the axes ``cost`` and ``epsilon, tau1, tau2``, one per
        plan; those of epsilon = 0 without an exact matcher are empty.
    """
    cost = problem.cost[0].cpu().numpy()
    # Excluded pairs say nothing.
    gain = np.where(np.isinf(cost), 0, problem.finite_cost.max().item() - cost)
    rows = np.sort(leading_rows(gain[:, :-1], max_rows))
    height = 0.12 * max(len(rows), LEAST_ROWS)
    # The cost and the key have a column for themselves.
    num_rows = max(len(taus), 3)
    figure = new_figure(1.0 + num_rows * (0.4 + height))
    figure.suptitle(title)
    grid = figure.add_gridspec(num_rows, len(epsilons) + 1)
    _draw_cost(figure.add_subplot(grid[0, 0], label='cost'), cost[rows], rows)
    for (row, (tau1, tau2)), (column, epsilon) in product(
        enumerate(taus), enumerate(epsilons)
    ):
        axes = figure.add_subplot(
            grid[row, column + 1], label=f'{epsilon}, {tau1}, {tau2}'
        )
        headings = [rf'$\epsilon = {epsilon:g}$'] if row == 0 else []
        if epsilon == 0 and (tau1, tau2) in EXACT_CORNERS:
            headings.append(_matcher(tau1, tau2))
        axes.set_title('\n'.join(headings), fontsize='medium')
        if epsilon > 0 or (tau1, tau2) in EXACT_CORNERS:
            plan = solve(
                problem,
                epsilon=epsilon,
                tau1=tau1,
                tau2=tau2,
                num_iters=num_iters,
            )
            weights = plan.weights[0].cpu().numpy()[rows]
            show_weights(axes, weights, rows, most_names=MOST_NAMES)
        else:
            _draw_nothing(axes, rows, cost.shape[1] - 1)
        axes.tick_params(
            labelleft=column == 0, labelbottom=row == len(taus) - 1
        )
        if column == 0:
            axes.set_ylabel(
                rf'$\tau_1 = {_tau(tau1)}$, $\tau_2 = {_tau(tau2)}$'
            )
    _draw_key(figure.add_subplot(grid[1:, 0], label='key'))
    return figure


def _matcher(tau1: float, tau2: float) -> str:
    matcher = EXACT_CORNERS[tau1, tau2]
    return matcher.__name__.replace('_', ' ').capitalize()


def _tau(tau: float) -> str:
    return r'\infty' if math.isinf(tau) else f'{tau:g}'


def _draw_cost(axes: Axes, cost: np.ndarray, names: np.ndarray) -> None:
    shown = np.ma.masked_invalid(cost)
    mesh = axes.imshow(shown, cmap='Oranges', aspect='auto')
    label_cells(axes, names, cost.shape[1] - 1, MOST_NAMES)
    axes.set_title('cost $C_{ij}$', fontsize='medium')
    axes.figure.colorbar(mesh, ax=axes, location='left')


def _draw_nothing(axes: Axes, names: np.ndarray, num_gts: int) -> None:
    axes.set(
        xlim=(-0.5, num_gts + 0.5),
        ylim=(len(names) - 0.5, -0.5),
        facecolor='0.95',
    )
    label_cells(axes, names, num_gts, MOST_NAMES)
    axes.text(
        0.5,
        0.5,
        'no exact matcher',
        ha='center',
        va='center',
        backgroundcolor='0.95',
        transform=axes.transAxes,
    )


def _draw_key(axes: Axes) -> None:
    axes.set_axis_off()
    axes.text(
        0,
        1,
        KEY,
        va='top',
        fontsize='small',
        linespacing=1.5,
        transform=axes.transAxes,
    )
    add_mass_bar(axes, (0, 0.3, 1, 0.05))
