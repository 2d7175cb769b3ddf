"""Every panel of the grid is the plan of its settings."""

import math

import numpy as np
import pytest
import torch

from mmdet_uot.matched_images.example import example_problem
from mmdet_uot.ot import (
    MatchingProblem,
    closest_ground_truth,
    closest_prediction,
    hungarian,
    sinkhorn,
)
from mmdet_uot.ot.problem import Bounds
from mmdet_uot.visualization import draw_grid

INF = math.inf
CORNERS = {
    (INF, INF): hungarian,
    (INF, 0.0): closest_ground_truth,
    (0.0, INF): closest_prediction,
}


def cells(axes):
    parts = [image.get_array().filled(0) for image in axes.images]
    return parts[0] + parts[1]


@pytest.fixture(scope='module')
def grid():
    """Panels of the example, by label, and its problem."""
    problem = example_problem()
    figure = draw_grid(problem)
    return {axes.get_label(): axes for axes in figure.axes}, problem


@pytest.mark.parametrize(('taus', 'matcher'), CORNERS.items())
def test_the_first_column_is_the_exact_matchers(taus, matcher, grid):
    axes, problem = grid
    panel = axes[f'0.0, {taus[0]}, {taus[1]}']
    plan = matcher(problem).weights[0].numpy()
    np.testing.assert_array_equal(cells(panel), plan)
    name = matcher.__name__.replace('_', ' ')
    assert panel.get_title().lower().endswith(name)


def test_excluded_pairs_have_no_colour():
    problem = example_problem()
    cost = problem.cost.clone()
    cost[0, 2:6, 1] = INF
    excluding = MatchingProblem(
        cost, problem.pred_mass, problem.gt_mass, Bounds(excludes=True)
    )
    figure = draw_grid(excluding, epsilons=(0.05,))
    panels = {axes.get_label(): axes for axes in figure.axes}
    (mesh,) = panels['cost'].images
    np.testing.assert_array_equal(
        mesh.get_array().mask, cost[0].isinf().numpy()
    )
    assert math.isfinite(mesh.norm.vmax)
    panel = panels[f'0.05, {INF}, {INF}']
    assert (cells(panel)[2:6, 1] == 0).all()


@pytest.mark.parametrize('epsilon', [0.01, 0.05, 0.2])
@pytest.mark.parametrize('taus', [*CORNERS, (INF, 0.1)])
def test_the_other_columns_are_converged_plans(epsilon, taus, grid):
    axes, problem = grid
    panel = axes[f'{epsilon}, {taus[0]}, {taus[1]}']
    plan = sinkhorn(
        problem, epsilon=epsilon, tau1=taus[0], tau2=taus[1], num_iters=3000
    )
    np.testing.assert_allclose(cells(panel), plan.weights[0], atol=1e-3)


def test_epsilon_0_without_an_exact_matcher_is_left_empty(grid):
    axes, _ = grid
    panel = axes['0.0, inf, 0.1']
    assert not panel.images
    assert panel.texts[0].get_text() == 'no exact matcher'


def test_the_cost_is_shown_beside_the_plans(grid):
    axes, problem = grid
    (image,) = axes['cost'].images
    np.testing.assert_array_equal(image.get_array(), problem.cost[0])


def test_rows_and_columns_are_named_by_their_settings(grid):
    axes, _ = grid
    assert axes['0.05, inf, inf'].get_title() == r'$\epsilon = 0.05$'
    label = r'$\tau_1 = \infty$, $\tau_2 = 0.1$'
    assert axes['0.0, inf, 0.1'].get_ylabel() == label
    key = axes['key'].texts[0].get_text()
    for word in (r'$\epsilon$', r'$\tau_1$', r'$\tau_2$', 'background'):
        assert word in key


def test_of_many_predictions_those_of_the_least_costs_are_drawn(axes_of):
    cost = torch.ones(200, 3)
    cost[[150, 7, 90], [0, 1, 2]] = 0.1
    problem = MatchingProblem.from_costs([cost], background_cost=0.5)
    figure = draw_grid(problem, epsilons=[0.0], taus=[(INF, INF)], max_rows=3)
    panel = axes_of(figure)['0.0, inf, inf']
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert names == ['7', '90', '150']
    expected = hungarian(problem).weights[0, [7, 90, 150]]
    np.testing.assert_array_equal(cells(panel), expected)
