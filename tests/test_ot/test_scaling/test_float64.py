"""The float64 solver of GPUs, here on the CPU."""

import math

import pytest
import torch

from mmdet_uot.ot import MatchingProblem, Numbers, sinkhorn
from mmdet_uot.ot.scaling import compiled, float64

INF = math.inf
TAUS = (0.0, 1e-3, 0.01, 1.0, 100.0, INF)
SHAPES = ((0, 2), (1, 0), (1, 4), (3, 9), (7, 7), (40, 0), (100, 30))
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-9}


@pytest.fixture(scope='module', autouse=True)
def _in_torch():
    """What is compared with is the eager solver, not the compiled one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, 'can_read', lambda *tensors: False)
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
            plan = float64.solve(given, Numbers(*numbers))
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
    plan = float64.solve(given, Numbers(0.05, tau1, tau2))
    for name, value in vars(expected).items():
        actual = getattr(plan, name)
        if name == 'gt_range':
            assert actual is value is None
            continue
        assert actual.dtype == value.dtype
        assert actual.stride() == value.stride()
        torch.testing.assert_close(actual, value, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(
    'N, max_cost, epsilon, tau2, num_iters, expected',
    [
        (8732, 1.0, 0.0112, 0.01, 20, True),
        (8732, 1.0, 0.0112, 0.01, 1000, True),
        (8732, 1.0, 0.0112, INF, 20, True),
        (8732, 1.0, 0.0112, INF, 50, False),
        (100, 1.0, 0.0189, INF, 50, True),
        (100, 1.0, 0.001, INF, 20, False),
        (100, INF, 0.1, INF, 20, False),
        (100, 1.0, torch.tensor([0.1]), INF, 20, False),
    ],
)
def test_a_gpu_uses_it_where_float64_is_known_to_suffice(
    N, max_cost, epsilon, tau2, num_iters, expected
):
    numbers = Numbers(epsilon, INF, tau2, num_iters)
    for device, accepted in (('cpu', False), ('meta', expected)):
        problem = MatchingProblem.from_padded(
            torch.ones(1, 30, N, device=device).mT,
            torch.ones(1, 30, dtype=torch.bool, device=device),
            0.5,
            max_cost=max_cost,
        )
        assert float64.accepts(problem, numbers) == accepted


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
    plan = float64.solve(problem, Numbers(epsilon, tau1, tau2))
    oracle = scaling_algorithm(problem, epsilon, tau1, tau2, 20)
    assert worst_error(plan.weights, oracle) <= 1e-9
