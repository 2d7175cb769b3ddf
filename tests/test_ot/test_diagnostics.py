"""Numbers of plans: known plans, loops over the definitions, invariances."""

import math

import pytest
import torch

from mmdet_uot.ot import (
    MatchingProblem,
    has_one_to_one,
    heaviest_prediction,
    plan_entropy,
    sinkhorn,
    support_size,
)


@pytest.fixture
def plans():
    """Random soft plans (20, 6, 4 + 1) with zeros."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(20, 6, 5, generator=generator) ** 4
    return torch.where(weights < 0.01, 0.0, weights)


@pytest.mark.parametrize('size', [1, 2, 7, 30])
@pytest.mark.parametrize('mass', [1e-3, 1.0, 50.0])
def test_entropy_of_a_uniform_match_is_that_of_lemma_3(size, mass):
    weights = torch.zeros(6 * 5)
    weights[torch.randperm(30)[:size]] = mass / size
    (entropy,) = plan_entropy(weights.view(1, 6, 5))
    assert entropy.item() == pytest.approx(math.log(size) + 1)


def test_entropy_is_the_sum_of_its_definition(plans):
    for plan, entropy in zip(plans, plan_entropy(plans)):
        mass = (plan.double() / plan.double().sum()).flatten().tolist()
        expected = -sum(p * (math.log(p) - 1) for p in mass if p > 0)
        assert entropy.item() == pytest.approx(expected)


def test_entropy_grows_with_the_regularisation(plans):
    problem = MatchingProblem.from_costs(list(plans[..., :4]), 0.5)
    entropies = [
        plan_entropy(sinkhorn(problem, epsilon=epsilon).weights)
        for epsilon in (0.01, 0.1, 1.0, 10.0)
    ]
    for less, more in zip(entropies, entropies[1:]):
        assert (less < more).all()


def test_a_plan_without_mass_is_as_one_pair():
    nothing = torch.zeros(2, 6, 5)
    assert plan_entropy(nothing).tolist() == [1.0, 1.0]
    assert support_size(nothing).tolist() == [1, 1]
    assert heaviest_prediction(nothing).tolist() == [[-1] * 4] * 2
    assert not has_one_to_one(nothing).any()


@pytest.mark.parametrize('shape', [(2, 0, 5), (2, 6, 1), (2, 0, 1)])
def test_without_predictions_or_ground_truths(shape):
    B, _, columns = shape
    weights = torch.zeros(shape)
    nobody = torch.full((B, columns - 1), -1)
    assert torch.equal(heaviest_prediction(weights), nobody)
    assert torch.equal(has_one_to_one(weights), nobody > 0)


def test_heaviest_prediction_and_one_to_one_by_loops(plans):
    plans[0, :, 2] = 0
    # Ties: half is no more than half, and the first of several is taken.
    plans[1, :, 1] = torch.tensor([0.0, 0.5, 0.5, 0.0, 0.0, 0.0])
    found = 0
    for b, plan in enumerate(plans.tolist()):
        for j in range(4):
            column = [row[j] for row in plan]
            best = column.index(max(column)) if sum(column) > 0 else -1
            assert heaviest_prediction(plans)[b, j] == best
            one = any(
                2 * row[j] > sum(row) and 2 * row[j] > sum(column)
                for row in plan
            )
            assert has_one_to_one(plans)[b, j] == one
            found += one
    assert 10 < found < 70


def test_pairs_of_one_to_one_share_no_prediction(plans):
    best, one = heaviest_prediction(plans), has_one_to_one(plans)
    for of_image, is_pair in zip(best, one):
        partners = of_image[is_pair].tolist()
        assert len({*partners}) == len(partners)
        assert -1 not in partners


@pytest.mark.parametrize('number', [plan_entropy, support_size])
def test_padding_and_scale_change_no_number(plans, number):
    padded = torch.zeros(20, 9, 8)
    padded[:, :6, :4], padded[:, :6, -1] = plans[..., :4], plans[..., 4]
    torch.testing.assert_close(number(padded), number(plans))
    torch.testing.assert_close(number(8 * plans), number(plans))


def test_a_permutation_is_one_to_one_and_its_double_is_not():
    order = torch.tensor([4, 0, 5, 2])
    weights = torch.zeros(1, 6, 5)
    weights[0, order, range(4)] = 1
    weights[0, :, 4] = 1 - weights[0].sum(1)
    assert torch.equal(heaviest_prediction(weights)[0], order)
    assert has_one_to_one(weights).all()
    twice = weights.repeat(1, 2, 1)
    assert not has_one_to_one(twice).any()
