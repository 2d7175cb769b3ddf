import math

import pytest
import torch

from mmdet_uot.ot import (
    EXACT_CORNERS,
    MatchingProblem,
    check_corner,
    closest_ground_truth,
    closest_prediction,
    hungarian,
    sinkhorn,
    solve,
)

INF = math.inf
PROBLEM = MatchingProblem.from_costs([torch.rand(9, 4)], 0.5)


@pytest.mark.parametrize(
    'tau1, tau2, matcher',
    [
        (INF, INF, hungarian),
        (INF, 0, closest_ground_truth),
        (0, INF, closest_prediction),
    ],
)
@pytest.mark.parametrize('epsilon', [0, 0.0])
def test_epsilon_zero_is_the_exact_matcher(epsilon, tau1, tau2, matcher):
    plan = solve(PROBLEM, epsilon=epsilon, tau1=tau1, tau2=tau2)
    assert torch.equal(plan.weights, matcher(PROBLEM).weights)
    assert EXACT_CORNERS[tau1, tau2] is matcher


@pytest.mark.parametrize('epsilon', [0.0112, 1, torch.tensor([0.0112])])
def test_positive_epsilon_is_the_scaling_algorithm(epsilon):
    numbers = dict(epsilon=epsilon, tau1=100.0, tau2=0.01, num_iters=7)
    plan, expected = solve(PROBLEM, **numbers), sinkhorn(PROBLEM, **numbers)
    assert torch.equal(plan.weights, expected.weights)


@pytest.mark.parametrize(
    'tau1, tau2', [(0, 0), (1.0, INF), (INF, 0.01), (100, 0.01), (-1, INF)]
)
def test_no_exact_matcher(tau1, tau2):
    words = ['epsilon=0', f'tau1={tau1}', f'tau2={tau2}', 'epsilon > 0']
    with pytest.raises(ValueError) as info:
        solve(PROBLEM, epsilon=0, tau1=tau1, tau2=tau2)
    assert all(word in str(info.value) for word in words)
    assert all(str(corner) in str(info.value) for corner in EXACT_CORNERS)
    with pytest.raises(ValueError):
        check_corner(tau1, tau2)


@pytest.mark.parametrize(
    'numbers, word',
    [
        (dict(epsilon=-1.0), 'epsilon'),
        (dict(epsilon=math.nan), 'epsilon'),
        (dict(epsilon=0.1, tau1=-1.0), 'tau1'),
        (dict(epsilon=0.1, num_iters=0), 'num_iters'),
    ],
)
def test_numbers_out_of_range(numbers, word):
    with pytest.raises(ValueError, match=word):
        solve(PROBLEM, **numbers)
