import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_uot.ot import (
    MatchingProblem,
    closest_ground_truth,
    closest_prediction,
    hungarian,
    sinkhorn,
    solve,
)

pytestmark = pytest.mark.usefixtures('each_solver')

INF = math.inf
EPSILON = 0.0112
SIDES = [(100.0, 0.01), (INF, INF), (1.0, 1.0), (0.0, INF), (INF, 0.0)]
every_side = pytest.mark.parametrize('tau1, tau2', SIDES)
close = torch.testing.assert_close


def uniform(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator)


def weights(problem, tau1, tau2, epsilon=EPSILON):
    return sinkhorn(problem, epsilon=epsilon, tau1=tau1, tau2=tau2).weights


def padded(cost, num_preds, num_gts, garbage):
    """One image in the corner of a larger one that is full of garbage."""
    N, M = cost.shape
    filled = torch.full((1, num_preds, num_gts), garbage)
    filled[0, :N, :M] = cost
    background = torch.full((1, num_preds), garbage)
    background[0, :N] = 0.5
    return MatchingProblem.from_padded(
        filled,
        (torch.arange(num_gts) < M)[None],
        background,
        (torch.arange(num_preds) < N)[None],
    )


class TestPadding:
    @every_side
    @pytest.mark.parametrize('garbage', [0.0, -50.0, INF, -INF, math.nan])
    @pytest.mark.parametrize('shape', [(20, 4), (5, 0), (3, 3), (2, 6)])
    def test_changes_nothing(self, shape, garbage, tau1, tau2):
        cost = uniform(*shape)
        alone = weights(MatchingProblem.from_costs([cost], 0.5), tau1, tau2)
        problem = padded(cost, 33, 9, garbage)
        N, M = shape
        plan = sinkhorn(problem, epsilon=EPSILON, tau1=tau1, tau2=tau2)
        close(plan.weights[:, :N, :M], alone[..., :-1], atol=1e-6, rtol=1e-5)
        close(plan.weights[:, :N, -1], alone[..., -1], atol=1e-6, rtol=1e-5)
        assert not plan.weights[:, N:].any()
        assert not plan.weights[:, :, M:-1].any()
        assert plan.marginal_error.isfinite().all()

    @every_side
    def test_garbage_changes_not_one_bit(self, tau1, tau2):
        plans = [
            weights(padded(uniform(20, 4), 33, 9, garbage), tau1, tau2)
            for garbage in (0.0, 7.0, INF, math.nan)
        ]
        assert all(torch.equal(plan, plans[0]) for plan in plans)

    @pytest.mark.parametrize(
        'matcher', [hungarian, closest_ground_truth, closest_prediction]
    )
    @pytest.mark.parametrize('garbage', [0.0, -50.0, INF, math.nan])
    @pytest.mark.parametrize('shape', [(20, 4), (5, 0), (3, 3), (2, 6)])
    def test_exact_matchers(self, matcher, shape, garbage):
        cost = uniform(*shape)
        alone = matcher(MatchingProblem.from_costs([cost], 0.5)).weights
        plan = matcher(padded(cost, 33, 9, garbage)).weights
        N, M = shape
        close(plan[:, :N, :M], alone[..., :-1])
        close(plan[:, :N, -1], alone[..., -1])
        assert not plan[:, N:].any() and not plan[:, :, M:-1].any()

    @every_side
    def test_image_without_predictions(self, tau1, tau2):
        problem = MatchingProblem.from_costs(
            [uniform(0, 2), uniform(4, 2)], 0.5
        )
        plan = weights(problem, tau1, tau2)
        assert not plan[0].any() and plan[1].any()


class TestBatch:
    @every_side
    def test_solving_alone_is_solving_together(self, tau1, tau2):
        costs = [
            15 * uniform(30, 5, seed=1),
            uniform(30, 0),
            uniform(12, 12, seed=2),
            uniform(4, 9, seed=3),
            torch.ones(30, 2),
        ]
        together = weights(MatchingProblem.from_costs(costs, 0.5), tau1, tau2)
        for cost, plan in zip(costs, together):
            N, M = cost.shape
            problem = MatchingProblem.from_costs([cost], 0.5)
            alone = weights(problem, tau1, tau2)[0]
            close(plan[:N, :M], alone[:, :-1], atol=1e-5, rtol=1e-5)
            close(plan[:N, -1], alone[:, -1], atol=1e-5, rtol=1e-5)

    @every_side
    def test_order_of_images(self, tau1, tau2):
        costs = [uniform(20, m, seed=m) for m in (3, 0, 7, 5)]
        plan = weights(MatchingProblem.from_costs(costs, 0.5), tau1, tau2)
        turned = MatchingProblem.from_costs(costs[::-1], 0.5)
        close(weights(turned, tau1, tau2), plan.flip(0), atol=1e-6, rtol=1e-5)

    @every_side
    def test_one_epsilon_per_image(self, tau1, tau2):
        epsilons = torch.tensor([1e-3, 0.0112, 0.1, 1.0])
        costs = [uniform(20, 4, seed=seed) for seed in range(4)]
        together = MatchingProblem.from_costs(costs, 0.5)
        plans = weights(together, tau1, tau2, epsilons)
        for cost, epsilon, plan in zip(costs, epsilons, plans):
            problem = MatchingProblem.from_costs([cost], 0.5)
            alone = weights(problem, tau1, tau2, epsilon.item())[0]
            close(plan, alone, atol=2e-5, rtol=1e-5)

    def test_solving_leaves_no_trace(self):
        """Solving changes neither the problem nor a later solution."""
        for dtype in (torch.float32, torch.float64):
            cost = uniform(10, 3).to(dtype)
            problem = MatchingProblem.from_costs([cost], 0.5)
            before = problem.cost.clone()
            first = weights(problem, 100.0, 0.01)
            assert torch.equal(problem.cost, before)
            assert torch.equal(weights(problem, 100.0, 0.01), first)


class TestOrder:
    @every_side
    def test_predictions_and_ground_truths(self, tau1, tau2):
        cost = uniform(25, 6)
        rows, columns = torch.randperm(25), torch.randperm(6)
        plan = weights(MatchingProblem.from_costs([cost], 0.5), tau1, tau2)
        moved = MatchingProblem.from_costs([cost[rows][:, columns]], 0.5)
        columns = torch.cat((columns, torch.tensor([6])))
        close(
            weights(moved, tau1, tau2),
            plan[:, rows][..., columns],
            atol=1e-5,
            rtol=1e-5,
        )


class TestCosts:
    @pytest.mark.parametrize('tau2', [0.0, 0.01, 1.0, INF])
    def test_hard_rows_ignore_a_constant_in_a_row(self, tau2):
        cost, shift = uniform(25, 6), 10 * uniform(25, seed=1)
        plan = weights(MatchingProblem.from_costs([cost], 0.5), INF, tau2)
        shifted = MatchingProblem.from_costs(
            [cost + shift[:, None]], [0.5 + shift]
        )
        close(weights(shifted, INF, tau2), plan, atol=2e-4, rtol=1e-3)

    @every_side
    def test_unit_of_the_cost(self, tau1, tau2):
        cost = uniform(25, 6)
        plan = weights(MatchingProblem.from_costs([cost], 0.5), tau1, tau2)
        scaled = MatchingProblem.from_costs([8 * cost], 4.0)
        close(
            weights(scaled, 8 * tau1, 8 * tau2, 8 * EPSILON),
            plan,
            atol=1e-5,
            rtol=1e-5,
        )


sizes = st.tuples(st.integers(1, 8), st.integers(0, 10))
examples = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def problems(draw):
    shape = draw(sizes)
    scale = draw(st.sampled_from([0.0, 0.1, 1.0, 15.0]))
    cost = uniform(*shape, seed=draw(st.integers(0, 999))) * scale
    cost = cost.to(draw(st.sampled_from([torch.float32, torch.float64])))
    return cost, draw(st.sampled_from([1e-3, 0.0112, 0.1, 1.0]))


class TestProperties:
    @examples
    @given(problems())
    def test_balanced_plan_conserves_mass(self, case):
        cost, epsilon = case
        problem = MatchingProblem.from_costs([cost], 0.5)
        plan = sinkhorn(problem, epsilon=epsilon)
        N, M = cost.shape
        ones = plan.weights.new_ones
        expected = torch.cat((ones(1, M) * N / max(N, M), ones(1, 1)), 1)
        expected[:, -1] = max(N - M, 0)
        close(plan.gt_marginal, expected, rtol=1e-4, atol=1e-4)
        close(plan.weights.sum(), ones(()) * N, rtol=1e-4, atol=1e-4)
        assert (plan.weights >= 0).all()

    @examples
    @given(problems(), st.sampled_from([0.0, 0.01, 1.0]))
    def test_hard_rows(self, case, tau2):
        """Rows are hard and columns free: every row has its mass."""
        cost, epsilon = case
        problem = MatchingProblem.from_costs([cost], 0.5)
        plan = sinkhorn(problem, epsilon=epsilon, tau2=tau2, num_iters=50)
        assert plan.weights.isfinite().all()
        if tau2 == 0:
            ones = torch.ones_like(plan.pred_marginal)
            close(plan.pred_marginal, ones, rtol=1e-4, atol=1e-4)

    @examples
    @given(problems(), st.sampled_from(SIDES), st.randoms())
    def test_permutation(self, case, side, random):
        cost, epsilon = case
        N, M = cost.shape
        rows, columns = random.sample(range(N), N), random.sample(range(M), M)
        plan = weights(MatchingProblem.from_costs([cost], 0.5), *side, epsilon)
        moved = MatchingProblem.from_costs([cost[rows][:, columns]], 0.5)
        moved = weights(moved, *side, epsilon)
        close(moved, plan[:, rows][..., [*columns, M]], atol=1e-4, rtol=1e-4)

    @examples
    @given(problems(), st.sampled_from(SIDES), sizes)
    def test_padding(self, case, side, more):
        cost, epsilon = case
        cost = cost.float()
        N, M = cost.shape
        plan = weights(MatchingProblem.from_costs([cost], 0.5), *side, epsilon)
        large = padded(cost, N + more[0], M + more[1], math.nan)
        large = weights(large, *side, epsilon)
        kept = [*range(M), M + more[1]]
        close(large[:, :N, kept], plan, atol=1e-4, rtol=1e-4)
        close(large.sum(), plan.sum(), atol=1e-4, rtol=1e-4)

    @examples
    @given(problems(), st.sampled_from([(INF, INF), (INF, 0.0), (0.0, INF)]))
    def test_exact_corners_conserve_mass(self, case, side):
        cost, _ = case
        problem = MatchingProblem.from_costs([cost], 0.5)
        plan = solve(problem, epsilon=0, tau1=side[0], tau2=side[1])
        N, M = cost.shape
        if side[0] == INF:
            ones = torch.ones_like(plan.pred_marginal)
            close(plan.pred_marginal, ones)
        if side == (0.0, INF):
            close(plan.gt_marginal, N * problem.gt_mass)
        if side == (INF, INF):
            matched = plan.gt_marginal[0, :-1]
            assert matched.sum().round() == min(N, M)
            assert matched.max() < 1.01 if M else True
