import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from mmdet_uot.ot import MatchingProblem, hungarian


def draw(kind, shape, seed):
    rng = np.random.default_rng(seed)
    cost = rng.random(shape)
    return {
        'random': cost,
        'tied': cost.round(1),
        'equal': np.full(shape, 0.3),
        'contested': 1e-3 * cost + rng.random((shape[0], 1)),
        'negative': cost - 5,
        'huge': 1e30 * cost,
    }[kind].astype(np.float32)


def total(cost, indices):
    (rows,) = (indices >= 0).nonzero()
    return cost[rows, indices[rows]].sum()


@pytest.mark.parametrize(
    'kind', ['random', 'tied', 'equal', 'contested', 'negative', 'huge']
)
@pytest.mark.parametrize('seed', range(3))
def test_optimum_of_scipy(kind, seed):
    """Tall, wide, square and empty problems, padded to one batch."""
    shapes = [(50, 7), (7, 7), (3, 9), (1, 1), (5, 0), (90, 30)]
    costs = [draw(kind, shape, seed) for shape in shapes]
    problem = MatchingProblem.from_costs(
        [torch.from_numpy(cost) for cost in costs], 0.5
    )
    matched = hungarian(problem).best_ground_truth()
    for cost, indices in zip(costs, matched.numpy()):
        rows, columns = linear_sum_assignment(cost.astype(float))
        used = indices[indices >= 0]
        assert len(set(used)) == len(used) == len(rows)
        expected = cost[rows, columns].astype(float).sum()
        found = total(cost.astype(float), indices[: len(cost)])
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_predictions_that_take_no_part():
    """In the middle of the others; whatever their costs are."""
    cost = torch.rand(2, 12, 4, generator=torch.Generator().manual_seed(0))
    takes_part = torch.ones(2, 12, dtype=torch.bool)
    takes_part[0, ::3] = False
    cost[~takes_part] = -9.0
    matched = hungarian(
        MatchingProblem.from_padded(
            cost, torch.ones(2, 4, dtype=torch.bool), 0.5, takes_part
        )
    ).best_ground_truth()
    for index in range(2):
        live = takes_part[index]
        assert (matched[index][~live] == -1).all()
        alone = [cost[index][live]]
        expected = hungarian(MatchingProblem.from_costs(alone, 0.5))
        assert torch.equal(
            matched[index][live], expected.best_ground_truth()[0]
        )
