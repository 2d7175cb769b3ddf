"""Longer steps, and an end when there is little left to move."""

import math

import pytest
import torch

from mmdet_uot.ot import MatchingProblem, sinkhorn

pytestmark = pytest.mark.usefixtures('each_solver')

BALANCED = dict(epsilon=0.012, tau1=math.inf, tau2=math.inf)
UNBALANCED = dict(epsilon=0.012, tau1=100.0, tau2=1.0)


def contested(seed=0):
    """Ten objects that share few good predictions."""
    generator = torch.Generator().manual_seed(seed)
    cost = torch.rand(200, 10, generator=generator)
    cost[torch.rand(200, 10, generator=generator) > 0.1] = 1.0
    cost[:20] -= 0.2
    return MatchingProblem.from_costs([cost], 0.5)


def elsewhere(plan, target):
    """Share of the foreground mass that lies elsewhere."""
    moved = (plan.foreground - target.foreground).abs().sum() / 2
    return (moved / target.foreground_mass.sum()).item()


@pytest.mark.parametrize('numbers', [BALANCED, UNBALANCED])
def test_the_solution_is_the_same(numbers):
    problem = contested()
    relaxed = sinkhorn(problem, num_iters=3000, relaxation=1.8, **numbers)
    plain = sinkhorn(problem, num_iters=3000, **numbers)
    torch.testing.assert_close(
        relaxed.weights, plain.weights, atol=2e-4, rtol=0
    )


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('numbers', [BALANCED, UNBALANCED])
def test_twenty_relaxed_iterations_are_closer(numbers, seed):
    problem = contested(seed)
    target = sinkhorn(problem, num_iters=3000, **numbers)
    plain = elsewhere(sinkhorn(problem, **numbers), target)
    relaxed = sinkhorn(problem, relaxation=1.8, **numbers)
    assert elsewhere(relaxed, target) < plain / 3


@pytest.mark.parametrize('num_iters', [1, 2, 3, 7, 40])
@pytest.mark.parametrize('numbers', [BALANCED, UNBALANCED])
def test_nesterovs_momentum(
    numbers, num_iters, scaling_algorithm, cost_families, worst_error
):
    for costs in cost_families(60, 7).values():
        # The second image has padding.
        problem = MatchingProblem.from_costs([costs, costs[:40, :3]], 0.5)
        options = dict(numbers, num_iters=num_iters, relaxation=1.7)
        weights = sinkhorn(problem, **options).weights
        oracle = scaling_algorithm(problem, **options)
        assert worst_error(weights, oracle) < 1e-5


@pytest.mark.parametrize('relaxation', [1.0, 1.8])
@pytest.mark.parametrize('tol', [1e-2, 1e-4])
def test_tol_bounds_what_the_rest_would_move(tol, relaxation):
    problem = contested()
    numbers = dict(BALANCED, num_iters=1000, relaxation=relaxation)
    target = sinkhorn(problem, **numbers)
    early = sinkhorn(problem, tol=tol, **numbers)
    moved = (early.foreground - target.foreground).abs().sum() / 2
    # The share is of all mass.
    assert moved < 200 * tol + 1e-3


def test_a_plan_tells_whether_it_has_converged():
    problem = contested()
    first = sinkhorn(problem, num_iters=1, **UNBALANCED)
    last = sinkhorn(problem, num_iters=1000, **UNBALANCED)
    assert not first.converged().any() and last.converged().all()


@pytest.mark.parametrize(
    'numbers', [dict(relaxation=0.5), dict(relaxation=2.0), dict(tol=-1.0)]
)
def test_out_of_range(numbers):
    with pytest.raises(ValueError, match=next(iter(numbers))):
        sinkhorn(contested(), epsilon=0.1, **numbers)
