"""Pairs that are excluded get no mass at all, whoever solves the problem."""

import math

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from mmdet_uot.native import library
from mmdet_uot.ot import (
    Bounds,
    MatchingProblem,
    cheapest_predictions,
    closest_ground_truth,
    closest_prediction,
    dual_softmax,
    hungarian,
    solve,
    two_stage,
    valid_mask,
)
from mmdet_uot.ot.numbers import Numbers
from mmdet_uot.ot.scaling import absorbed, compiled, float64

BACKENDS = [absorbed, float64, *([compiled] if library() else [])]
close = torch.testing.assert_close
inf = math.inf


def problem_of(N=40, sizes=(6, 0, 3), share=0.3, seed=0, asked=1.0):
    """Most pairs are excluded, at least two of each column are not."""
    generator = torch.Generator().manual_seed(seed)
    shape = len(sizes), N, max(sizes)
    cost = torch.rand(shape, generator=generator)
    allowed = torch.rand(shape, generator=generator) < share
    allowed[:, :2] = True
    valid = valid_mask(list(sizes), torch.device('cpu'))
    excluded = ~allowed & valid[:, None]
    cost = cost.mT.contiguous().mT.masked_fill(excluded, inf)
    cost = torch.cat((cost.mT, torch.full((shape[0], 1, N), 0.4)), 1).mT
    preds = torch.ones(shape[:2], dtype=torch.bool)
    problem = MatchingProblem.from_masks(
        cost,
        valid,
        preds,
        max_cost=1.0,
        num_candidates=allowed.sum(1),
        asked=asked,
        most_asked=None,
    )
    return problem, excluded


TAUS = [(inf, inf), (100.0, 0.01), (inf, 0.0), (0.0, inf), (1.0, 1.0)]


@pytest.mark.parametrize('epsilon', [0.02, 0.3, 1e-3])
@pytest.mark.parametrize('taus', TAUS, ids=str)
def test_the_plan_is_that_of_the_oracle(
    taus, epsilon, scaling_algorithm, worst_error, each_solver
):
    problem, excluded = problem_of()
    plan = solve(
        problem, epsilon=epsilon, tau1=taus[0], tau2=taus[1], num_iters=30
    )
    oracle = scaling_algorithm(problem, epsilon, *taus, num_iters=30)
    assert worst_error(plan.weights, oracle) < 2e-5
    assert (plan.foreground[excluded] == 0).all()


@pytest.mark.parametrize('backend', BACKENDS)
def test_every_backend_that_accepts_excludes_exactly(backend):
    """Also where columns ask for more than their candidates can give."""
    problem, excluded = problem_of(asked=8.0, share=0.05)
    numbers = Numbers(0.05, num_iters=50)
    plan = backend.solve(problem, numbers)
    assert (plan.foreground[excluded] == 0).all()
    assert plan.weights.isfinite().all()
    live = problem.gt_mass > 0
    close(plan.gt_marginal[live], (40 * problem.gt_mass)[live])


def test_costs_may_be_given_with_infinities():
    problem, excluded = problem_of()
    given = MatchingProblem(
        problem.cost,
        problem.pred_mass,
        problem.gt_mass,
        Bounds(excludes=True),
    )
    for options in (dict(epsilon=0.05), dict(epsilon=0)):
        expected = solve(problem, **options)
        plan = solve(given, **options)
        close(plan.weights, expected.weights)


@pytest.mark.parametrize(
    'matcher',
    [
        hungarian,
        closest_ground_truth,
        closest_prediction,
        two_stage,
        cheapest_predictions,
        dual_softmax,
    ],
)
@pytest.mark.parametrize('asked', [1.0, 3.0])
def test_exact_matchers_leave_them_out(matcher, asked):
    problem, excluded = problem_of(asked=asked, share=0.02)
    plan = matcher(problem)
    assert (plan.foreground[excluded] == 0).all()
    assert plan.weights.isfinite().all()


@pytest.mark.parametrize('seed', range(3))
def test_hungarian_matches_what_can_be_at_the_least_cost(seed):
    problem, _ = problem_of(seed=seed, asked=2.0)
    plan = hungarian(problem)
    for image, cost in enumerate(problem.cost[..., :-1].double()):
        live = problem.gt_mass[image, :-1] > 0
        repeated = cost[:, live].repeat(1, 2).numpy()
        row, column = linear_sum_assignment(repeated)
        weights = plan.foreground[image]
        total = (weights * problem.finite_cost[image, :, :-1]).sum().item()
        expected = repeated[row, column].sum()
        assert total == pytest.approx(expected, abs=1e-5)


def test_what_cannot_be_matched_is_left_over():
    """Two ground truths with one candidate, the same."""
    cost = torch.full((1, 5, 3), inf)
    cost[0, 2, :2] = torch.tensor([0.2, 0.1])
    cost[..., 2] = 0.5
    ones = torch.ones(1, 5, dtype=torch.bool)
    problem = MatchingProblem.from_masks(
        cost, ones[:, :2], ones, num_candidates=torch.tensor([[1, 1]])
    )
    indices = hungarian(problem).best_ground_truth()
    assert indices.tolist() == [[-1, -1, 1, -1, -1]]
