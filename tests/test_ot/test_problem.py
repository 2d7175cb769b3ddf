import math

import pytest
import torch

from mmdet_uot.ot import MatchingProblem, hungarian, sinkhorn

close = torch.testing.assert_close


def ones(*shape, dtype=torch.float32):
    return torch.ones(*shape, dtype=dtype)


class TestMasses:
    """Prop. 1: alpha = [1, ...] / N, beta = [1, ..., N - n] / N."""

    @pytest.mark.parametrize(
        'shape, pred_mass, gt_mass',
        [
            ((4, 0), [1 / 4] * 4, [1.0]),
            ((4, 1), [1 / 4] * 4, [1 / 4, 3 / 4]),
            ((4, 4), [1 / 4] * 4, [1 / 4] * 4 + [0]),
            ((2, 5), [1 / 2] * 2, [1 / 5] * 5 + [0]),
            ((1, 1), [1.0], [1.0, 0]),
            ((0, 2), [], [0, 0, 0]),
        ],
    )
    def test_values(self, shape, pred_mass, gt_mass):
        problem = MatchingProblem.from_costs([ones(*shape)], 0.5)
        close(problem.pred_mass[0], torch.tensor(pred_mass))
        close(problem.gt_mass[0], torch.tensor(gt_mass, dtype=torch.float32))
        assert problem.num_preds.tolist() == [shape[0]]

    def test_total_is_one(self):
        costs = [ones(n, m) for n in (1, 3, 8732) for m in (0, 2, 30)]
        problem = MatchingProblem.from_costs(costs, 0.5)
        close(problem.pred_mass.sum(1), ones(9), rtol=1e-4, atol=0)
        close(problem.gt_mass.sum(1), ones(9), rtol=1e-4, atol=0)


class TestFromCosts:
    def test_layout(self):
        costs = [torch.rand(3, 2), torch.rand(5, 1), torch.rand(2, 0)]
        problem = MatchingProblem.from_costs(costs, 0.7)
        assert problem.cost.shape == (3, 5, 3)
        for index, cost in enumerate(costs):
            N, M = cost.shape
            assert torch.equal(problem.cost[index, :N, :M], cost)
            assert (problem.cost[index, :N, -1] == 0.7).all()
            assert not problem.cost[index, N:].any()
            assert not problem.cost[index, :, M:-1].any()

    def test_background_of_every_prediction(self):
        rows = [torch.rand(3), torch.rand(2)]
        problem = MatchingProblem.from_costs([ones(3, 1), ones(2, 1)], rows)
        for row, cost in zip(rows, problem.cost):
            assert torch.equal(cost[: len(row), -1], row)

    @pytest.mark.parametrize(
        'given, solved',
        [
            (torch.float16, torch.float32),
            (torch.bfloat16, torch.float32),
            (torch.int64, torch.float32),
            (torch.float32, torch.float32),
            (torch.float64, torch.float64),
        ],
    )
    def test_dtype(self, given, solved):
        cost = ones(2, 1, dtype=given)
        for background in (0.1, [torch.full((2,), 0.1, dtype=solved)]):
            problem = MatchingProblem.from_costs([cost], background)
            for value in (problem.cost, problem.pred_mass, problem.gt_mass):
                assert value.dtype == solved
            close(problem.cost[0, :, 1], torch.full((2,), 0.1, dtype=solved))

    def test_takes_no_gradient(self):
        cost = torch.rand(4, 2, requires_grad=True)
        problem = MatchingProblem.from_costs([cost], [cost.sum(1)])
        assert not problem.cost.requires_grad
        assert not sinkhorn(problem, epsilon=0.1).weights.requires_grad
        assert not hungarian(problem).weights.requires_grad


class TestFromPadded:
    @pytest.mark.parametrize('garbage', [math.nan, math.inf, -9.0])
    def test_padding_is_cleaned(self, garbage):
        cost = torch.full((1, 3, 2), garbage)
        cost[0, :2, 0] = 0.3
        background = torch.tensor([[0.5, 0.6, garbage]])
        problem = MatchingProblem.from_padded(
            cost,
            torch.tensor([[True, False]]),
            background,
            torch.tensor([[True, True, False]]),
        )
        expected = [[0.3, 0.0, 0.5], [0.3, 0.0, 0.6], [0.0, 0.0, 0.0]]
        close(problem.cost[0], torch.tensor(expected))
        assert problem.padding[0].tolist() == [
            [False, True, False],
            [False, True, False],
            [True, True, True],
        ]
        close(problem.pred_mass, torch.tensor([[0.5, 0.5, 0.0]]))
        close(problem.gt_mass, torch.tensor([[0.5, 0.0, 0.5]]))

    def test_padding_anywhere(self):
        """Not only at the end."""
        cost = torch.rand(1, 4, 3)
        gt_valid = torch.tensor([[False, True, True]])
        pred_valid = torch.tensor([[True, False, True, True]])
        problem = MatchingProblem.from_padded(cost, gt_valid, 0.5, pred_valid)
        dense = cost[0][pred_valid[0]][:, gt_valid[0]]
        dense = MatchingProblem.from_costs([dense], 0.5)
        plan = sinkhorn(problem, epsilon=0.1).weights[0][pred_valid[0]]
        expected = sinkhorn(dense, epsilon=0.1).weights[0]
        close(plan[:, [1, 2, 3]], expected)


class TestWrongInput:
    @pytest.mark.parametrize(
        'arguments, error, words',
        [
            (([[1.0]], 0.5), TypeError, ['costs', 'sequence']),
            ((ones(2, 3), 0.5), TypeError, ['costs', '[cost]']),
            (([], 0.5), ValueError, ['costs', 'at least one']),
            (([ones(2, 3), ones(2)], 0.5), ValueError, ['costs[1]', '(2,)']),
            (
                ([ones(2, 1)] * 2, [ones(2)]),
                ValueError,
                ['background_cost', 'per image'],
            ),
            (
                ([ones(2, 1)], [ones(2)] * 2),
                ValueError,
                ['background_cost', 'per image'],
            ),
            (
                ([ones(2, 1)], [ones(1)]),
                ValueError,
                ['background_cost', '(2,)'],
            ),
            (([ones(2, 1)], None), ValueError, ['background_cost', 'None']),
        ],
    )
    def test_from_costs(self, arguments, error, words):
        with pytest.raises(error) as info:
            MatchingProblem.from_costs(*arguments)
        assert all(word in str(info.value) for word in words)

    @pytest.mark.parametrize(
        'arguments, words',
        [
            ((ones(2, 3), ones(2, 3).bool(), 0.5), ['cost', '(2, 3)']),
            ((ones(1, 2, 3), ones(1, 2).bool(), 0.5), ['gt_valid', '(1, 3)']),
            ((ones(1, 2, 3), ones(1, 3), 0.5), ['gt_valid', 'bool']),
            (
                (ones(1, 2, 3), ones(1, 3).bool(), ones(3)),
                ['background_cost', '(1, 2)'],
            ),
            (
                (ones(1, 2, 3), ones(1, 3).bool(), 0.5, ones(1, 3).bool()),
                ['pred_valid', '(1, 2)'],
            ),
        ],
    )
    def test_from_padded(self, arguments, words):
        with pytest.raises(ValueError) as info:
            MatchingProblem.from_padded(*arguments)
        assert all(word in str(info.value) for word in words)

    @pytest.mark.parametrize(
        'arguments, error, words',
        [
            (
                (ones(1, 2, 3).long(), ones(1, 2), ones(1, 3)),
                TypeError,
                ['cost', 'int64', '.float()'],
            ),
            (
                (ones(1, 2, 3), [0.5, 0.5], ones(1, 3)),
                TypeError,
                ['pred_mass', 'list'],
            ),
            (
                (ones(2, 3), ones(1, 2), ones(1, 3)),
                ValueError,
                ['cost', '(2, 3)', 'from_costs'],
            ),
            (
                (ones(1, 2, 0), ones(1, 2), ones(1, 0)),
                ValueError,
                ['cost', 'background'],
            ),
            (
                (ones(1, 2, 3), ones(1, 3), ones(1, 3)),
                ValueError,
                ['pred_mass', '(1, 2)', '(1, 3)'],
            ),
            (
                (ones(1, 2, 3), ones(1, 2), ones(3)),
                ValueError,
                ['gt_mass', '(1, 3)', '(3,)'],
            ),
        ],
    )
    def test_constructor(self, arguments, error, words):
        with pytest.raises(error) as info:
            MatchingProblem(*arguments)
        assert all(word in str(info.value) for word in words)

    def test_is_frozen(self):
        problem = MatchingProblem.from_costs([ones(2, 1)], 0.5)
        with pytest.raises(AttributeError):
            problem.cost = ones(1, 2, 2)
