import itertools

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from mmdet_uot.ot import MatchingProblem, TransportPlan, sinkhorn

close = torch.testing.assert_close


def solved(*shapes, seed=0, **numbers):
    generator = torch.Generator().manual_seed(seed)
    costs = [torch.rand(shape, generator=generator) for shape in shapes]
    problem = MatchingProblem.from_costs(costs, 0.5)
    return sinkhorn(problem, epsilon=0.1, **numbers)


def plan_of(weights):
    """A plan with given (N, M + 1) weights; zero rows are padding."""
    weights = torch.tensor([weights], dtype=torch.float32)
    rows, columns = weights.sum(2), weights.sum(1)
    return TransportPlan(weights, rows / rows.sum(), columns / rows.sum())


class TestMarginals:
    def test_weights_split_and_add_up(self):
        plan = solved((9, 4), (5, 2))
        close(plan.foreground, plan.weights[..., :4])
        close(plan.background, plan.weights[..., 4])
        close(plan.pred_marginal, plan.weights.sum(2))
        close(plan.gt_marginal, plan.weights.sum(1))
        assert plan.weights.shape == (2, 9, 5)
        assert plan.marginal_error.shape == (2,)


class TestPairs:
    @pytest.mark.parametrize('min_mass', [0.0, 0.1, 2.0])
    def test_by_hand(self, min_mass):
        plan = solved((5, 3), (4, 0), (2, 2))
        expected = [
            (b, i, j, plan.weights[b, i, j].item())
            for b, j, i in itertools.product(range(3), range(3), range(5))
            if plan.weights[b, i, j] > min_mass
        ]
        found = plan.pairs(min_mass)
        rows = [tensor.tolist() for tensor in found]
        assert list(zip(*rows)) == expected
        assert found.image.dtype == torch.int64

    def test_mass_is_the_foreground(self):
        plan = solved((5, 3), (4, 0), (2, 2))
        close(plan.pairs().mass.sum(), plan.foreground.sum())


class TestHardViews:
    def test_best_ground_truth(self):
        plan = plan_of([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
        assert plan.best_ground_truth().tolist() == [[0, -1, 1]]

    def test_best_ground_truth_of_nothing(self):
        plan = plan_of([[0.6, 0.4], [0.0, 0.0]])
        assert plan.best_ground_truth().tolist() == [[0, -1]]

    def test_best_ground_truth_ties_go_to_the_first(self):
        plan = plan_of([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [0.4, 0.2, 0.4]])
        assert plan.best_ground_truth().tolist() == [[0, 1, 0]]

    def test_best_prediction(self):
        plan = plan_of([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.1, 0.9, 0.0]])
        assert plan.best_prediction().tolist() == [[0, -1, 1]]

    def test_best_prediction_of_two_ground_truths(self):
        plan = plan_of([[0.6, 0.7, 0.1], [0.2, 0.2, 0.6]])
        assert plan.best_prediction().tolist() == [[1, -1]]

    @pytest.mark.parametrize('seed', range(10))
    @pytest.mark.parametrize('shape', [(8, 3), (5, 5), (3, 6), (4, 0)])
    def test_one_to_one(self, shape, seed):
        """SciPy on one background column for every prediction left over."""
        plan = solved(shape, seed=seed)
        weights = plan.weights[0]
        spare = weights[:, -1:].expand(-1, max(shape[0] - shape[1], 0))
        table = torch.cat((weights[:, :-1], spare), dim=1)
        row, column = linear_sum_assignment(table.numpy(), maximize=True)
        expected = torch.full((shape[0],), -1)
        expected[row] = torch.as_tensor(column)
        expected[expected >= shape[1]] = -1
        assert torch.equal(plan.one_to_one()[0], expected)

    def test_one_to_one_takes_no_pair_without_weight(self):
        """Two that may have the same prediction alone: one of them has it."""
        plan = plan_of([[0.6, 0.4, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
        assert plan.one_to_one().tolist() == [[0, -1, -1]]

    @pytest.mark.parametrize('seed', range(5))
    def test_views_agree_with_loops(self, seed):
        plan = solved((7, 3), (4, 2), (3, 3), seed=seed)
        for b, weights in enumerate(plan.weights):
            for i, row in enumerate(weights.tolist()):
                best = row.index(max(row))
                expected = -1 if best == 3 or not any(row) else best
                assert plan.best_ground_truth()[b, i] == expected
            for i, j in enumerate(plan.best_prediction()[b].tolist()):
                wanted = [
                    k
                    for k in range(3)
                    if weights[:, k].any() and weights[:, k].argmax() == i
                ]
                heaviest = max(wanted, key=lambda k: weights[i, k], default=-1)
                assert j == heaviest

    @pytest.mark.parametrize(
        'view', ['best_ground_truth', 'best_prediction', 'one_to_one']
    )
    def test_padding_is_background(self, view):
        plan = solved((6, 2), (3, 1), (4, 0), (0, 2))
        indices = getattr(plan, view)()
        assert indices.dtype == torch.int64 and indices.shape == (4, 6)
        assert (indices[1] < 1).all() and (indices[1, 3:] == -1).all()
        assert (indices[2:] == -1).all()

    @pytest.mark.parametrize('view', ['best_prediction', 'one_to_one'])
    @pytest.mark.parametrize('shape', [(9, 4), (5, 5)])
    def test_every_ground_truth_is_used_at_most_once(self, view, shape):
        indices = getattr(solved(shape, num_iters=500), view)()[0]
        used = indices[indices >= 0]
        assert len(used.unique()) == len(used)
        if view == 'one_to_one':
            assert len(used) == shape[1]


class TestFromIndices:
    @pytest.mark.parametrize(
        'indices, num_gts', [([[1, -1, 0, 1]], 2), ([[-1, -1]], 0), ([[]], 3)]
    )
    def test_views_give_the_indices_back(self, indices, num_gts):
        indices = torch.tensor(indices, dtype=torch.int64)
        plan = TransportPlan.from_indices(indices, num_gts)
        assert plan.weights.shape == (*indices.shape, num_gts + 1)
        assert torch.equal(plan.best_ground_truth(), indices)
        assert torch.equal(plan.pred_marginal, torch.ones(indices.shape))
        assert plan.pred_potential is None

    def test_ignored_predictions_have_no_weight(self):
        indices = torch.tensor([[1, -1, 0, 1]])
        ignored = torch.tensor([[False, True, True, False]])
        plan = TransportPlan.from_indices(indices, 2, ignored)
        expected = torch.tensor([[0.0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0]])
        close(plan.weights[0], expected)
        close(plan.pred_mass, torch.tensor([[0.5, 0.0, 0.0, 0.5]]))
        close(plan.gt_mass, torch.tensor([[0.0, 1.0, 0.0]]))


class TestSpread:
    def test_rows_go_to_their_places(self):
        plan = solved((4, 2), (3, 2))
        places = torch.tensor(
            [
                [True, False, True, True, False, True],
                [False, True, True, False, True, False],
            ]
        )
        spread = plan.spread(places)
        assert spread.weights.shape == (2, 6, 3)
        for b, count in enumerate((4, 3)):
            rows = spread.weights[b][places[b]]
            assert torch.equal(rows, plan.weights[b, :count])
            assert not spread.weights[b][~places[b]].any()
            mass = spread.pred_mass[b]
            assert torch.equal(mass[places[b]], plan.pred_mass[b, :count])
            assert not mass[~places[b]].any()
        close(spread.gt_marginal, plan.gt_marginal)
        assert (spread.best_ground_truth()[~places] == -1).all()

    def test_no_places(self):
        spread = solved((4, 2)).spread(torch.zeros(1, 6, dtype=torch.bool))
        assert not spread.weights.any()
