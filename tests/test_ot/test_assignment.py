import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from mmdet_uot.ot import MatchingProblem, assignment, hungarian


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


@pytest.mark.parametrize('solver', ['installed', 'scipy'])
def test_ground_truths_that_take_no_part(solver, monkeypatch):
    """Before and between the others."""
    if solver == 'scipy':
        monkeypatch.setattr(
            assignment, '_solver', assignment._solver.__wrapped__
        )
        monkeypatch.setattr(assignment, 'find_spec', lambda name: None)
    cost = torch.rand(2, 9, 5, generator=torch.Generator().manual_seed(0))
    takes_part = torch.ones(2, 5, dtype=torch.bool)
    takes_part[0, ::2] = False
    matched = hungarian(
        MatchingProblem.from_padded(cost, takes_part, 0.5)
    ).best_ground_truth()
    for index in range(2):
        (live,) = takes_part[index].nonzero(as_tuple=True)
        rows, columns = linear_sum_assignment(cost[index][:, live])
        expected = torch.full((9,), -1)
        expected[rows] = live[columns]
        assert torch.equal(matched[index], expected)


@pytest.mark.parametrize('asked', [1.0, 2.0])
def test_what_is_known_of_the_masses_changes_no_pair(asked):
    cost = torch.rand(3, 12, 5, generator=torch.Generator().manual_seed(0))
    gt_valid = torch.arange(4) < torch.tensor([[4], [0], [2]])
    pred_valid = torch.ones(3, 12, dtype=torch.bool)
    known = MatchingProblem.from_masks(cost, gt_valid, pred_valid, asked=asked)
    unknown = MatchingProblem(known.cost, known.pred_mass, known.gt_mass)
    pairs = hungarian(known).pairs(), hungarian(unknown).pairs()
    assert len(pairs[0].image) == 6 * asked
    for found, expected in zip(*pairs):
        assert torch.equal(found, expected)
