"""NaN and infinities in the costs, and plans in parts."""

import math

import pytest
import torch

from mmdet_uot.ot import MatchingProblem, concatenate, solve, two_stage

BAD = [math.nan, math.inf, -math.inf]
PLACES = {
    'entry': (slice(3, 4), slice(1, 2)),
    'row': (slice(3, 4), slice(None)),
    'column': (slice(None), slice(1, 2)),
    'image': (slice(None), slice(None)),
}
SOLVERS = {
    'unbalanced': dict(epsilon=0.02, tau1=100.0, tau2=0.01),
    'balanced': dict(epsilon=0.02),
    'hungarian': dict(epsilon=0),
    'closest ground truth': dict(epsilon=0, tau2=0.0),
    'closest prediction': dict(epsilon=0, tau1=0.0),
}


@pytest.fixture
def costs():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(12, m, generator=generator) for m in (4, 3, 5)]


@pytest.mark.parametrize('value', BAD)
@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('options', SOLVERS.values(), ids=SOLVERS)
def test_bad_costs_count_as_the_highest(value, place, options, costs):
    clean = solve(MatchingProblem.from_costs(costs, 0.5), **options)
    costs[1][PLACES[place]] = value
    plan = solve(MatchingProblem.from_costs(costs, 0.5), **options)
    assert plan.weights.isfinite().all()
    for image in (0, 2):
        torch.testing.assert_close(plan.weights[image], clean.weights[image])
    finite = costs[1].isfinite()
    largest = max(costs[1][finite].max().item() if finite.any() else 0, 0.5)
    costs[1][~finite] = 2 * largest
    by_hand = solve(MatchingProblem.from_costs(costs, 0.5), **options)
    torch.testing.assert_close(plan.weights, by_hand.weights)


@pytest.mark.parametrize('value', BAD)
def test_a_bad_pair_is_not_matched_while_there_are_others(value, costs):
    cost = costs[0].clone()
    cost[cost.argmin(0), torch.arange(4)] = value
    problem = MatchingProblem.from_costs([cost], 0.5)
    for matcher in (two_stage, lambda problem: solve(problem, epsilon=0)):
        pairs = matcher(problem).pairs()
        assert {0, 1, 2, 3} == set(pairs.ground_truth.tolist())
        matched = cost[pairs.prediction, pairs.ground_truth]
        assert matched.isfinite().all()


@pytest.mark.parametrize('value', BAD)
def test_problems_given_directly_are_cleaned_too(value, costs):
    problem = MatchingProblem.from_costs(costs, 0.5)
    cost = problem.cost.clone()
    cost[1, 3, 1] = value
    dirty = MatchingProblem(cost, problem.pred_mass, problem.gt_mass)
    cost[1, 3, 1] = 2 * problem.cost[1].abs().max()
    by_hand = MatchingProblem(cost, problem.pred_mass, problem.gt_mass)
    assert torch.equal(dirty.cost, by_hand.cost)


@pytest.mark.parametrize('options', SOLVERS.values(), ids=SOLVERS)
def test_parts_joined_are_the_whole(options, costs):
    whole = solve(MatchingProblem.from_costs(costs, 0.5), **options)
    parts = [
        solve(MatchingProblem.from_costs(part, 0.5), **options)
        for part in (costs[:1], costs[1:2], costs[2:])
    ]
    joined = concatenate(iter(parts), (3, 12, 6))
    torch.testing.assert_close(joined.weights, whole.weights)
    torch.testing.assert_close(joined.pred_mass, whole.pred_mass)
    torch.testing.assert_close(joined.gt_mass, whole.gt_mass)
    assert (joined.pred_potential is None) == (options['epsilon'] == 0)
    if joined.pred_potential is not None:
        close = torch.testing.assert_close
        close(joined.pred_potential, whole.pred_potential)
        close(joined.gt_potential, whole.gt_potential)
        close(joined.marginal_error, whole.marginal_error)


def test_parts_of_different_sizes_are_padded(costs):
    parts = [costs[0][:7], costs[1]]
    plans = [
        solve(MatchingProblem.from_costs([cost], 0.5), epsilon=0.02)
        for cost in parts
    ]
    joined = concatenate(plans, (2, 12, 5))
    whole = solve(MatchingProblem.from_costs(parts, 0.5), epsilon=0.02)
    torch.testing.assert_close(joined.weights, whole.weights)
