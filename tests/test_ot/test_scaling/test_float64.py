"""The float64 solver of GPUs, here on the CPU."""

import math

import pytest
import torch

from mmdet_uot.ot import MatchingProblem, sinkhorn
from mmdet_uot.ot.scaling import compiled as native
from mmdet_uot.ot.scaling import float64 as direct

INF = math.inf
TAUS = (0.0, 1e-3, 0.01, 1.0, 100.0, INF)
SHAPES = ((0, 2), (1, 0), (1, 4), (3, 9), (7, 7), (40, 0), (100, 30))
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-9}


@pytest.fixture(scope='module', autouse=True)
def _in_torch():
    """What is compared with is the eager solver, not the compiled one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, 'can_read', lambda *tensors: False)
        yield


@pytest.fixture
def problem(cost_families):
    """A batch of every shape, with costs from 0 to 1."""

    def make(family, dtype):
        costs = [cost_families(*shape)[family] for shape in SHAPES]
        costs = [cost.clamp(max=1).to(dtype) for cost in costs]
        return MatchingProblem.from_costs(costs, 0.5)

    return make


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('tau1', TAUS)
@pytest.mark.parametrize('tau2', TAUS)
def test_algorithm_2(
    tau1, tau2, dtype, problem, scaling_algorithm, worst_error
):
    for family in ('uniform', 'iou', 'equal'):
        given = problem(family, dtype)
        cost = given.cost.clone()
        for epsilon, num_iters in ((0.0112, 20), (0.1, 7), (1.0, 1)):
            numbers = (epsilon, tau1, tau2, num_iters)
            plan = direct._solve(given, *numbers)
            assert plan.weights.dtype == dtype
            assert not plan.weights[given.padding].any()
            oracle = scaling_algorithm(given, *numbers)
            assert worst_error(plan.weights, oracle) <= TOLERANCE[dtype]
        assert torch.equal(given.cost, cost)


@pytest.mark.parametrize('tau1', TAUS)
@pytest.mark.parametrize('tau2', TAUS)
def test_all_of_the_plan_is_that_of_the_other_solver(tau1, tau2, problem):
    given = problem('geometric', torch.float64)
    expected = sinkhorn(given, epsilon=0.05, tau1=tau1, tau2=tau2)
    plan = direct._solve(given, 0.05, tau1, tau2, 20)
    for name, value in vars(expected).items():
        actual = getattr(plan, name)
        assert actual.dtype == value.dtype
        assert actual.stride() == value.stride()
        torch.testing.assert_close(actual, value, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(
    'N, max_cost, epsilon, num_iters, contraction, expected',
    [
        (8732, 1.0, 0.0112, 20, 0.47, True),
        (8732, 1.0, 0.0112, 1000, 0.47, True),
        (8732, 1.0, 0.0112, 20, 1.0, True),
        (8732, 1.0, 0.0112, 50, 1.0, False),
        (100, 1.0, 0.0189, 50, 1.0, True),
        (100, 1.0, 0.001, 20, 1.0, False),
        (100, INF, 0.1, 20, 1.0, False),
        (100, 1.0, torch.tensor([0.1]), 20, 1.0, False),
    ],
)
def test_a_gpu_uses_it_where_float64_is_known_to_suffice(
    N, max_cost, epsilon, num_iters, contraction, expected, monkeypatch
):
    used = []
    monkeypatch.setattr(direct, '_solve', lambda *args: used.append(args))
    for device in ('cpu', 'meta'):
        problem = MatchingProblem.from_padded(
            torch.ones(1, 30, N, device=device).mT,
            torch.ones(1, 30, dtype=torch.bool, device=device),
            0.5,
            max_cost=max_cost,
        )
        moves = (math.log(N), contraction)
        direct.try_direct(problem, epsilon, INF, INF, num_iters, *moves)
    assert used == [(problem, epsilon, INF, INF, num_iters)] * expected


@pytest.mark.parametrize('family', ['uniform', 'contested', 'iou'])
@pytest.mark.parametrize('tau1', TAUS)
@pytest.mark.parametrize('tau2', TAUS)
def test_numbers_stay_where_the_choice_says(
    tau1, tau2, family, cost_families, scaling_algorithm, worst_error
):
    """At the edge of the range, with the hardest of costs."""
    costs = [cost_families(50, 9)[family] for _ in range(2)]
    cost = torch.stack(costs).double().clamp(0, 1)
    cost[0] *= -1
    problem = MatchingProblem.from_costs(list(cost), 1.0)
    epsilon = 3 / (650 - 26 * math.log(50))
    plan = direct._solve(problem, epsilon, tau1, tau2, 20)
    oracle = scaling_algorithm(problem, epsilon, tau1, tau2, 20)
    assert worst_error(plan.weights, oracle) <= 1e-9
