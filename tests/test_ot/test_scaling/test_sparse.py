"""The solver of pairs, in the compiled library."""

import math

import pytest
import torch

from mmdet_uot.native import cut_boxes, library
from mmdet_uot.ot import MatchingProblem, Numbers, SparsePlan, sinkhorn
from mmdet_uot.ot.scaling import compiled, sparse

pytestmark = pytest.mark.skipif(
    library() is None, reason='the library is not compiled'
)

TAUS = [0.0, 0.01, 1.0, 100.0, math.inf]


def overlaps(num_preds, num_gts, seed=0):
    """1 - IoU of which one in twelve is below 1."""
    generator = torch.Generator().manual_seed(seed)
    cost = torch.rand(num_preds, num_gts, generator=generator)
    far = torch.rand(num_preds, num_gts, generator=generator) > 0.08
    return cost.masked_fill(far, 1.0)


def families():
    costs = [overlaps(300, m, seed=m) for m in (7, 0, 25)] + [overlaps(90, 4)]
    generator = torch.Generator().manual_seed(0)
    own = [0.3 + 0.3 * torch.rand(len(c), generator=generator) for c in costs]
    # All objects want the same few predictions.
    contested = [c + 0.4 * (torch.arange(len(c)) > 4)[:, None] for c in costs]
    # Objects that are far from all predictions.
    hopeless = [(c + 0.3).clamp(max=1.0) for c in costs]
    apart = MatchingProblem.from_padded(
        torch.stack([costs[0], overlaps(300, 7)]),
        torch.ones(2, 7, dtype=torch.bool),
        0.5,
        torch.arange(600).view(2, 300) % 3 > 0,
    )
    masses = MatchingProblem.from_costs(costs[:1], 0.5)
    masses.pred_mass.mul_(torch.rand(300, generator=generator) + 0.5)
    return {
        'overlaps': MatchingProblem.from_costs(costs, 0.5),
        'own background': MatchingProblem.from_costs(costs, own),
        'below zero': MatchingProblem.from_costs(
            [cost - 0.8 for cost in costs], -0.3
        ),
        'contested': MatchingProblem.from_costs(contested, 0.5),
        'hopeless': MatchingProblem.from_costs(hopeless, 0.5),
        'some take no part': apart,
        'unequal masses': masses,
    }


@pytest.mark.parametrize('tau1', TAUS)
@pytest.mark.parametrize('tau2', TAUS)
@pytest.mark.parametrize('name', families())
def test_algorithm_2(name, tau1, tau2, scaling_algorithm, worst_error):
    problem = families()[name]
    for epsilon, num_iters in ((0.012, 20), (0.03, 3), (0.012, 1)):
        numbers = epsilon, tau1, tau2, num_iters
        plan = sparse.solve(problem, Numbers(*numbers))
        if plan is None:  # too many pairs matter
            assert (
                name in ('hopeless', 'contested') or epsilon > 0.02 or tau1 < 1
            )
            continue
        expected = scaling_algorithm(problem, *numbers)
        assert worst_error(plan.weights, expected) < 1e-6


@pytest.mark.parametrize('tau1, tau2', [(math.inf, math.inf), (100.0, 0.01)])
def test_potentials_and_error_are_those_of_the_matrix(tau1, tau2):
    problem = families()['own background']
    numbers = Numbers(0.012, tau1, tau2)
    plan = sparse.solve(problem, numbers)
    dense = compiled.solve(problem, numbers)
    for name in ('pred_potential', 'gt_potential'):
        torch.testing.assert_close(
            getattr(plan, name), getattr(dense, name), atol=1e-6, rtol=0
        )
    torch.testing.assert_close(
        plan.marginal_error, dense.marginal_error, atol=1e-6, rtol=1e-4
    )


def test_many_pairs_are_left_to_the_matrix():
    problem = MatchingProblem.from_costs([torch.rand(50, 9)], 0.5)
    assert sparse.solve(problem, Numbers(0.1)) is None
    assert not isinstance(sinkhorn(problem, epsilon=0.1), SparsePlan)


def test_no_background_is_left_to_the_matrix():
    """One image of it in the batch is enough."""
    problem = MatchingProblem.from_costs(
        [overlaps(90, 3), overlaps(3, 3)], 0.5
    )
    assert sparse.solve(problem, Numbers(0.01)) is None


def test_what_was_dropped_is_looked_at_again(scaling_algorithm, worst_error):
    """v of contested objects outgrows the first threshold by far."""
    cost = torch.full((400, 6), 6.0)
    cost[:3] = 0.0
    cost[3:40] = 0.9
    problem = MatchingProblem.from_costs([cost], 0.2)
    for epsilon in (0.01, 0.02):
        numbers = epsilon, math.inf, math.inf, 200
        plan = sparse.solve(problem, Numbers(*numbers))
        assert isinstance(plan, SparsePlan)
        expected = scaling_algorithm(problem, *numbers)
        assert worst_error(plan.weights, expected) < 1e-6


def test_many_faint_pairs_of_a_row_add_up(scaling_algorithm, worst_error):
    num_gts, epsilon = 300, 0.01
    cost = torch.full((3000, num_gts), 3.0)
    gt = torch.arange(num_gts)
    cost[3 * gt, gt] = 0.5
    cost[3 * gt + 1, gt] = cost[3 * gt + 2, gt] = 0.5 + epsilon * math.log(6)
    cost[900:1000] = 0.5 + 18.02 * epsilon
    problem = MatchingProblem.from_costs([cost], 0.5)
    asked = 6 / 7 + 1
    problem.gt_mass[0, :-1] = asked / len(cost)
    problem.gt_mass[0, -1] = 1 - asked * num_gts / len(cost)
    weights = sparse.solve(problem, Numbers(epsilon)).weights
    expected = scaling_algorithm(problem, epsilon, math.inf, math.inf, 20)
    assert worst_error(weights, expected) < 2e-6


def test_far_boxes_that_get_weight_are_left_to_the_matrix():
    corner = 20.0 * torch.cartesian_prod(torch.arange(10), torch.arange(100))
    boxes = torch.cat((corner, corner + 10), dim=1)
    gt_box = torch.tensor([[0.0, 0.0, 10.0, 3.0]])
    masses = torch.full((1, 1000), 1e-3), torch.tensor([[1e-3, 0.999]])
    background = torch.full((1, 1000), -3.0)

    def solve(tau1):
        return sparse.solve_overlaps(
            cut_boxes(boxes[None]),
            gt_box[None],
            background,
            *masses,
            None,
            Numbers(0.1, tau1=tau1, tau2=0.1),
        )

    assert solve(0.0) is None
    assert solve(math.inf) is not None


def test_differences_beyond_floats(scaling_algorithm, worst_error):
    generator = torch.Generator().manual_seed(1)
    above = torch.rand(200, 3, generator=generator) > 0.5
    cost = torch.where(above, 2e38, -2e38)
    problem = MatchingProblem.from_costs([cost], 2e38)
    weights = compiled.solve(problem, Numbers(1e37, tau2=1e38)).weights
    expected = scaling_algorithm(problem, 1e37, math.inf, 1e38, 20)
    assert worst_error(weights, expected) < 1e-6
