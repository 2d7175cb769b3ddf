"""A plan of pairs answers as the matrix does."""

import pytest
import torch

from mmdet_uot.ot import SparsePlan, TransportPlan, WeightedPairs, concatenate

close = torch.testing.assert_close
SHAPE = (3, 12, 6)


def draw(seed, shape=SHAPE, hard=False):
    """Weights with many zeros and ties; the last image has no objects."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(shape, generator=generator).round(decimals=1)
    weights[torch.rand(shape, generator=generator) < 0.6] = 0.0
    weights[-1, :, :-1] = 0.0
    weights[0, -3:] = 0.0
    return weights


def both(weights):
    """The same plan as a matrix and as pairs."""
    pred_mass = weights.any(2) / 12
    gt_mass = torch.ones(len(weights), weights.shape[2]) / 12
    gt_mass[-1, :-1] = 0.0
    dense = TransportPlan(
        weights, pred_mass, gt_mass, pred_mass.double(), gt_mass.double()
    )
    matched = dense.pairs()
    sparse = SparsePlan(
        matched,
        dense.background,
        pred_mass,
        gt_mass,
        pred_mass.double(),
        gt_mass.double(),
    )
    return dense, sparse


@pytest.fixture(params=range(5))
def plans(request):
    return both(draw(request.param))


@pytest.mark.parametrize(
    'name',
    [
        'shape',
        'weights',
        'foreground',
        'background',
        'foreground_mass',
        'pred_marginal',
        'gt_marginal',
    ],
)
def test_properties(plans, name):
    dense, sparse = (getattr(plan, name) for plan in plans)
    assert sparse == dense if name == 'shape' else close(sparse, dense) is None


@pytest.mark.parametrize('view', ['best_ground_truth', 'best_prediction'])
def test_hard_views(plans, view):
    dense, sparse = (getattr(plan, view)() for plan in plans)
    assert torch.equal(sparse, dense)


def test_one_to_one_loses_no_more_weight(plans):
    """Ties may be broken in another way."""
    dense, sparse = plans
    kept = []
    for plan in plans:
        indices = plan.one_to_one()
        column = indices.where(indices >= 0, SHAPE[2] - 1)
        kept.append(dense.weights.gather(2, column.unsqueeze(2)).sum((1, 2)))
        for image in indices:
            used = image[image >= 0]
            assert len(used) == len(used.unique())
    close(kept[1], kept[0])
    matched = [(plan.one_to_one() >= 0).sum(1) for plan in plans]
    assert torch.equal(*matched)


@pytest.mark.parametrize(
    'min_mass', [0.0, 0.3, 2.0, torch.rand(3, 5, 1), torch.rand(3, 5, 12)]
)
def test_pairs(plans, min_mass):
    for sparse, dense in zip(
        plans[1].pairs(min_mass), plans[0].pairs(min_mass)
    ):
        assert torch.equal(sparse, dense)


def test_support_of_ground_truths(plans):
    dense, sparse = plans
    least = torch.full((3, 5, 1), 0.3)
    count = (dense.foreground.mT > 0.3).sum(2, keepdim=True)
    assert torch.equal(sparse.gt_support(least), count)


def test_grouped(plans):
    groups = torch.tensor([0, 2, 1, 2, 0]).expand(3, 5)
    close(plans[1].grouped(groups, 4), plans[0].grouped(groups, 4))


def test_spread(plans):
    places = torch.rand(3, 20, generator=torch.Generator().manual_seed(0))
    places = places.argsort(1) < 12
    dense, sparse = (plan.spread(places) for plan in plans)
    close(sparse.weights, dense.weights)
    close(sparse.pred_mass, dense.pred_mass)
    assert torch.equal(sparse.pairs().prediction, dense.pairs().prediction)


def test_concatenate():
    plans = [both(draw(0)), both(draw(1, (2, 9, 4))), both(draw(2))]
    shape = (8, 12, 6)
    dense = concatenate((plan[0] for plan in plans), shape)
    sparse = concatenate((plan[1] for plan in plans), shape)
    mixed = concatenate((plans[0][1], plans[1][0], plans[2][1]), shape)
    assert isinstance(sparse, SparsePlan)
    for name in ('weights', 'pred_mass', 'gt_mass', 'pred_potential'):
        close(getattr(sparse, name), getattr(dense, name))
        close(getattr(mixed, name), getattr(dense, name))
    assert torch.equal(sparse.pairs().image, dense.pairs().image)


def test_one_each_is_a_plan_of_ones():
    image, prediction = torch.tensor([[0, 0, 1], [3, 1, 2]])
    ground_truth = torch.tensor([0, 1, 0])
    pred_mass = torch.full((2, 4), 0.25)
    pred_mass[0, 0] = 0.0
    plan = SparsePlan.one_each(
        (image, prediction, ground_truth), pred_mass, torch.ones(2, 3)
    )
    expected = torch.tensor([[-1, 1, -1, 0], [-1, -1, 0, -1]])
    assert torch.equal(plan.best_ground_truth(), expected)
    close(plan.pred_marginal, (pred_mass > 0).float())
    assert isinstance(plan.pairs(), WeightedPairs)
