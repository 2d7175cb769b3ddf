"""What the paper proves, and what its Fig. 8 shows."""

import itertools
import math

import pytest
import torch

from mmdet_uot.ot import (
    MatchingProblem,
    closest_ground_truth,
    closest_prediction,
    dual_softmax,
    hungarian,
    sinkhorn,
    solve,
)

INF = math.inf
close = torch.testing.assert_close

# As in Fig. 8: predictions x ground truths, and a background cost of 2.
COST = torch.tensor(
    [
        [0.7, 1.9, 3.1],
        [2.6, 0.4, 1.3],
        [1.5, 2.3, 0.2],
        [0.9, 0.6, 2.8],
        [3.4, 2.7, 3.9],
    ],
    dtype=torch.float64,
)
PROBLEM = MatchingProblem.from_costs([COST], background_cost=2.0)
FULL_COST = PROBLEM.cost[0]
N, M = COST.shape
EPSILONS = (0.05, 0.3, 1.0, 4.0)


def assignments(num_preds, num_gts):
    """All one-to-one matchings of the ground truths, as prediction indices."""
    return itertools.permutations(range(num_preds), num_gts)


def random_cost(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(5, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize('seed', range(10))
def test_proposition_1_hungarian(seed):
    cost = random_cost(seed)
    best = min(
        assignments(N, M), key=lambda rows: sum(cost[rows, range(M)]).item()
    )
    problem = MatchingProblem.from_costs([cost], background_cost=0.5)
    exact = hungarian(problem)
    expected = torch.full((1, N), -1)
    expected[0, list(best)] = torch.arange(M)
    assert torch.equal(exact.best_ground_truth(), expected)
    close(exact.weights.sum(2), torch.ones(1, N, dtype=torch.float64))


@pytest.mark.parametrize('seed', range(5))
def test_hungarian_is_the_limit(seed):
    """The plan costs at most epsilon * log(entries) more than the best."""
    problem = MatchingProblem.from_costs([random_cost(seed)], 0.5)
    exact = hungarian(problem)
    least = (exact.weights * problem.cost).sum() / N
    for epsilon in (0.1, 0.01, 0.005):
        plan = sinkhorn(problem, epsilon=epsilon, num_iters=5000)
        excess = (plan.weights * problem.cost).sum() / N - least
        assert -1e-6 < excess <= epsilon * math.log(FULL_COST.numel())
    assert torch.equal(plan.one_to_one(), exact.best_ground_truth())


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('background_cost', [0.0, 0.2, 0.5, 2.0])
def test_proposition_2_closest_with_threshold(seed, background_cost):
    cost = random_cost(seed)
    problem = MatchingProblem.from_costs([cost], background_cost)
    least, closest = cost.min(1)
    expected = closest.where(least <= background_cost, -1)
    exact = closest_ground_truth(problem)
    assert torch.equal(exact.best_ground_truth()[0], expected)
    limit = sinkhorn(problem, epsilon=1e-4, tau2=0.0)
    close(limit.weights, exact.weights, atol=1e-3, rtol=0)


def test_corollary_2_no_threshold():
    problem = MatchingProblem.from_costs([COST], background_cost=100.0)
    plan = closest_ground_truth(problem)
    assert torch.equal(plan.best_ground_truth()[0], COST.argmin(1))


@pytest.mark.parametrize('epsilon', EPSILONS)
@pytest.mark.parametrize('num_iters', [1, 2, 20])
def test_proposition_3_softmax_over_predictions(epsilon, num_iters):
    """Eq. (18): no background, that is as many objects as predictions."""
    cost = COST[:M]
    problem = MatchingProblem.from_costs([cost], background_cost=2.0)
    plan = sinkhorn(
        problem, epsilon=epsilon, tau1=0.0, tau2=INF, num_iters=num_iters
    )
    close(plan.foreground[0], torch.softmax(-cost / epsilon, dim=0))
    assert not plan.background.any()


@pytest.mark.parametrize('epsilon', EPSILONS)
@pytest.mark.parametrize('num_iters', [1, 2, 20])
def test_softmax_over_predictions_with_background(epsilon, num_iters):
    """Eqs. (26) and (27), reached after one iteration."""
    plan = sinkhorn(
        PROBLEM, epsilon=epsilon, tau1=0.0, tau2=INF, num_iters=num_iters
    )
    softmax = torch.softmax(-FULL_COST / epsilon, dim=0)
    close(plan.foreground[0], softmax[:, :-1])
    close(plan.background[0], (N - M) * softmax[:, -1])


@pytest.mark.parametrize('epsilon', EPSILONS)
@pytest.mark.parametrize('num_iters', [1, 2, 20])
def test_softmax_over_ground_truths(epsilon, num_iters):
    """Reached by the second iteration, the first that starts from v = 1."""
    plan = sinkhorn(
        PROBLEM, epsilon=epsilon, tau1=INF, tau2=0.0, num_iters=num_iters
    )
    factor = M + 1 if num_iters == 1 else 1
    softmax = torch.softmax(-FULL_COST / epsilon, dim=1)
    close(plan.weights[0], factor * softmax)


def test_softmax_keeps_masses_of_the_predictions():
    mass = COST.new_tensor([[0.4, 0.1, 0.2, 0.05, 0.25]])
    problem = MatchingProblem(PROBLEM.cost, mass, PROBLEM.gt_mass)
    plan = sinkhorn(problem, epsilon=1.0, tau1=INF, tau2=0.0)
    softmax = torch.softmax(-FULL_COST, dim=1)
    close(plan.weights[0], N * mass[0, :, None] * softmax)


@pytest.mark.parametrize('epsilon', EPSILONS)
def test_proposition_4_one_iteration_from_both_duals(epsilon):
    """Eqs. (21) and (28), up to one constant for the whole plan."""
    kernel = (-FULL_COST / epsilon).exp()
    expected = kernel / kernel.sum(0) / kernel.sum(1, keepdim=True)
    expected[:, -1] *= N - M
    plan = dual_softmax(PROBLEM, epsilon=epsilon).weights[0]
    close(plan / plan.sum(), expected / expected.sum())
    close(plan, (M + 1) * expected)


def test_dual_softmax_ignores_padding():
    costs = [COST[:2, :1], COST]
    together = dual_softmax(MatchingProblem.from_costs(costs, 2.0)).weights
    small = MatchingProblem.from_costs(costs[:1], 2.0)
    alone = dual_softmax(small).weights
    close(together[:1, :2, [0, 3]], alone)
    assert together[0].sum() == together[0, :2][:, [0, 3]].sum()


class TestFigure8:
    """The limits of its panels: least and greatest epsilon."""

    @pytest.mark.parametrize(
        'tau1, tau2', [(INF, 0.0), (0.0, INF), (INF, INF)]
    )
    def test_small_epsilon_is_a_matching(self, tau1, tau2):
        exact = solve(PROBLEM, epsilon=0, tau1=tau1, tau2=tau2)
        plan = sinkhorn(
            PROBLEM, epsilon=0.01, tau1=tau1, tau2=tau2, num_iters=2000
        )
        close(plan.foreground, exact.foreground, atol=1e-3, rtol=0)
        if tau1 == INF:
            close(plan.background, exact.background, atol=1e-3, rtol=0)

    @pytest.mark.parametrize(
        'tau1, tau2, rows',
        [
            (INF, 0.0, [1 / 4, 1 / 4, 1 / 4, 1 / 4]),
            (0.0, INF, [1 / 5, 1 / 5, 1 / 5, 2 / 5]),
            (INF, INF, [1 / 5, 1 / 5, 1 / 5, 2 / 5]),
        ],
    )
    def test_large_epsilon_is_uniform(self, tau1, tau2, rows):
        plan = sinkhorn(PROBLEM, epsilon=1e5, tau1=tau1, tau2=tau2)
        expected = COST.new_tensor(rows).expand(N, -1)
        close(plan.weights[0], expected, atol=1e-4, rtol=0)

    def test_dual_softmax_keeps_no_mass_but_the_solution_does(self):
        first = dual_softmax(PROBLEM, epsilon=0.3)
        solved = sinkhorn(PROBLEM, epsilon=0.3, num_iters=2000)
        close(solved.pred_marginal, N * PROBLEM.pred_mass)
        close(solved.gt_marginal, N * PROBLEM.gt_mass)
        assert (first.gt_marginal - N * PROBLEM.gt_mass).abs().max() > 0.1

    def test_matchings_are_the_ones_read_off_the_costs(self):
        rows = closest_ground_truth(PROBLEM).best_ground_truth()
        assert rows.tolist() == [[0, 1, 2, 1, -1]]
        columns = closest_prediction(PROBLEM).best_ground_truth()
        assert columns.tolist() == [[0, 1, 2, -1, -1]]
        both = hungarian(PROBLEM).best_ground_truth()
        assert both.tolist() == [[0, 1, 2, -1, -1]]
