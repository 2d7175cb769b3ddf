import itertools

import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment, linprog

from mmdet_uot.ot import (
    MatchingProblem,
    closest_ground_truth,
    closest_prediction,
    hungarian,
    sinkhorn,
    two_stage,
)

close = torch.testing.assert_close


def uniform(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator)


def problem_of(cost, background_cost=0.5):
    return MatchingProblem.from_costs([torch.tensor(cost)], background_cost)


class TestHungarian:
    @pytest.mark.parametrize('seed', range(3))
    @pytest.mark.parametrize(
        'shape', [(1, 1), (9, 4), (6, 6), (3, 8), (100, 30), (300, 12)]
    )
    def test_scipy(self, shape, seed):
        cost = uniform(*shape, seed=seed)
        plan = hungarian(MatchingProblem.from_costs([cost], 0.5))
        expected = torch.full((shape[0],), -1)
        row, column = linear_sum_assignment(cost.numpy())
        expected[row] = torch.as_tensor(column)
        assert torch.equal(plan.best_ground_truth()[0], expected)

    @pytest.mark.parametrize('seed', range(5))
    @pytest.mark.parametrize('shape', [(7, 3), (5, 5), (12, 0)])
    def test_pot(self, shape, seed):
        """Also with a background cost for every prediction."""
        cost = uniform(*shape, seed=seed).double()
        background = uniform(shape[0], seed=seed + 100).double()
        problem = MatchingProblem.from_costs([cost], [background])
        peer = ot.emd2(
            problem.pred_mass[0].numpy(),
            problem.gt_mass[0].numpy(),
            problem.cost[0].numpy(),
        )
        plan = hungarian(problem)
        total = (plan.weights * problem.cost).sum() / shape[0]
        assert total.item() == pytest.approx(peer, abs=1e-9)
        close(plan.gt_marginal, shape[0] * problem.gt_mass)
        close(plan.pred_marginal, shape[0] * problem.pred_mass)

    def test_every_image_of_a_batch(self):
        costs = [uniform(6, 2), uniform(4, 0), uniform(2, 5), uniform(0, 3)]
        together = hungarian(MatchingProblem.from_costs(costs, 0.5))
        for cost, found in zip(costs, together.best_ground_truth()):
            row, column = linear_sum_assignment(cost.numpy())
            expected = torch.full((6,), -1)
            expected[row] = torch.as_tensor(column)
            assert torch.equal(found, expected)

    def test_large_constant_background_does_not_round(self):
        cost = [[0.1, 0.3], [0.2, 0.1], [0.10001, 0.5]]
        plan = hungarian(problem_of(cost, background_cost=1e8))
        assert plan.best_ground_truth().tolist() == [[0, 1, -1]]


class TestClosestGroundTruth:
    def test_ties_go_to_the_first_ground_truth_not_to_the_background(self):
        problem = problem_of([[0.5, 0.5], [0.6, 0.5], [0.6, 0.6], [0.2, 0.2]])
        indices = closest_ground_truth(problem).best_ground_truth()
        assert indices.tolist() == [[0, 1, -1, 0]]

    def test_threshold_of_every_prediction(self):
        cost = torch.tensor([[0.3, 0.4], [0.3, 0.4], [0.3, 0.2]])
        background = [torch.tensor([0.35, 0.25, 0.25])]
        plan = closest_ground_truth(
            MatchingProblem.from_costs([cost], background)
        )
        assert plan.best_ground_truth().tolist() == [[0, -1, 1]]

    def test_masses_of_the_predictions(self):
        cost = uniform(1, 3, 3)
        mass = torch.tensor([[0.5, 0.3, 0.2]])
        problem = MatchingProblem(cost, mass, torch.ones(1, 3) / 3)
        plan = closest_ground_truth(problem)
        close(plan.pred_marginal, 3 * mass)


class TestClosestPrediction:
    def test_one_prediction_may_be_taken_often(self):
        plan = closest_prediction(problem_of([[0.1, 0.2], [0.3, 0.4]] * 2))
        expected = torch.tensor([[1.0, 1, 0], [0, 0, 2 / 3]])
        close(plan.weights[0, :2], expected)
        close(plan.weights[0, 2:], torch.tensor([[0, 0, 2 / 3]] * 2))

    def test_ties_go_to_the_first_prediction(self):
        plan = closest_prediction(problem_of([[0.3], [0.1], [0.1]]))
        assert plan.best_ground_truth().tolist() == [[-1, 0, -1]]

    def test_prediction_without_weight_is_background(self):
        """As many objects as predictions, so no background mass is left."""
        plan = closest_prediction(problem_of([[0.0, 0.0], [1.0, 1.0]]))
        assert plan.best_ground_truth().tolist() == [[0, -1]]

    def test_the_background_takes_its_closest_prediction(self):
        cost = torch.tensor([[0.0], [1.0], [1.0], [1.0]])
        background = torch.tensor([9.0, 0.0, 5.0, 9.0])
        problem = MatchingProblem.from_costs([cost], [background])
        plan = closest_prediction(problem)
        expected = torch.tensor([[1.0, 0], [0, 3], [0, 0], [0, 0]])
        close(plan.weights[0], expected)
        limit = sinkhorn(problem, epsilon=1e-3, tau1=0.0)
        close(limit.weights[0, :2], expected[:2])

    def test_taken_predictions_share_the_background_only_if_all_are(self):
        cost = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
        for costs, expected in (
            ([0.5, 0.5, 0.5], [0, 0.5, 0.5]),
            ([0.5, 0.6, 0.6], [1, 0, 0]),
            ([0.5, 0.5, 0.6], [0, 1, 0]),
        ):
            problem = MatchingProblem.from_costs([cost], [torch.tensor(costs)])
            plan = closest_prediction(problem)
            close(plan.background[0], torch.tensor(expected).float())

    @pytest.mark.parametrize('constant', [True, False])
    @pytest.mark.parametrize('shape', [(6, 3), (4, 4), (3, 5), (5, 0)])
    def test_no_plan_with_the_masses_of_the_columns_costs_less(
        self, shape, constant
    ):
        """Def. 4 without regularisation, as a linear programme."""
        costs = [uniform(*shape).double(), uniform(2, 1).double()]
        background = 0.5
        if not constant:
            background = [uniform(len(cost)).double() for cost in costs]
        problem = MatchingProblem.from_costs(costs, background)
        plan = closest_prediction(problem)
        for image, cost in enumerate(costs):
            n, total = len(cost), problem.cost[image, : len(cost)]
            mass = problem.gt_mass[image]
            sums = torch.eye(len(mass)).repeat(1, n)
            least = linprog(total.flatten(), A_eq=sums, b_eq=mass)
            found = (plan.weights[image] * problem.cost[image]).sum() / n
            assert found.item() == pytest.approx(least.fun, abs=1e-9)

    @pytest.mark.parametrize('shape', [(9, 4), (4, 4), (3, 7), (5, 0)])
    def test_ground_truths_keep_their_mass(self, shape):
        problem = MatchingProblem.from_costs([uniform(*shape)], 0.5)
        plan = closest_prediction(problem)
        close(plan.gt_marginal, shape[0] * problem.gt_mass)
        close(
            (plan.foreground > 0).sum(1),
            torch.ones(1, shape[1], dtype=torch.int64),
        )


def two_stage_by_hand(cost, threshold):
    num_preds, num_gts = cost.shape
    matched = [-1] * num_preds
    for i, j in itertools.product(range(num_preds), range(num_gts)):
        if cost[i, j] <= threshold and cost[i, j] == cost[i].min():
            matched[i] = j
    for j in range(num_gts):
        matched[int(cost[:, j].argmin())] = j
    return matched


class TestTwoStage:
    @pytest.mark.parametrize('seed', range(5))
    @pytest.mark.parametrize('shape', [(30, 5), (8, 7), (12, 1), (5, 0)])
    def test_by_hand(self, shape, seed):
        cost = uniform(*shape, seed=seed)
        plan = two_stage(MatchingProblem.from_costs([cost], 0.3))
        expected = two_stage_by_hand(cost, 0.3)
        assert plan.best_ground_truth()[0].tolist() == expected
        close(plan.pred_marginal, torch.ones(1, shape[0]))


MATCHERS = [hungarian, closest_ground_truth, closest_prediction, two_stage]


@pytest.mark.parametrize('matcher', MATCHERS)
class TestEveryMatcher:
    @pytest.mark.parametrize('shape', [(6, 0), (1, 1), (1, 3), (0, 2), (0, 0)])
    def test_small(self, matcher, shape):
        plan = matcher(MatchingProblem.from_costs([uniform(*shape)], 0.5))
        assert plan.weights.shape == (1, shape[0], shape[1] + 1)
        assert plan.weights.isfinite().all()
        close(plan.weights.sum(), torch.tensor(float(shape[0])))
        if shape[1] == 0:
            close(plan.background, torch.ones(1, shape[0]))

    def test_dtype(self, matcher):
        for dtype in (torch.float32, torch.float64):
            problem = MatchingProblem.from_costs(
                [torch.zeros(3, 2, dtype=dtype)], 0.5
            )
            assert matcher(problem).weights.dtype == dtype

    def test_negative_costs(self, matcher):
        """Adding one number to all costs changes no exact matching."""
        cost = uniform(9, 4)
        plan = matcher(MatchingProblem.from_costs([cost], 0.5))
        lower = matcher(MatchingProblem.from_costs([cost - 2], -1.5))
        assert torch.equal(plan.weights, lower.weights)
