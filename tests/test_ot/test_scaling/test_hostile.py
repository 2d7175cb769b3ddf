"""Every solver against Algorithm 2, with numbers that are hard for floats."""

import math
import os
import random
from functools import partial

import numpy as np
import pytest
import torch

from mmdet_uot._torch_versions import triton_is_current
from mmdet_uot.native import library
from mmdet_uot.ot import MatchingProblem, Numbers, sinkhorn
from mmdet_uot.ot.scaling import compiled, float64, triton

if not torch.cuda.is_available():
    # Triton reads this when it is first imported, which the tests do.
    os.environ['TRITON_INTERPRET'] = '1'

pytestmark = pytest.mark.filterwarnings('ignore:overflow:RuntimeWarning')

INF = math.inf
TAUS = (0.0, 1e-3, 1.0, 1e3, INF)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-8}
# Beyond, the last bits of the exponent decide whether a float32 holds it.
ALMOST_GREATEST = 1e38


def draw(seed):
    """A problem in float64 of floats, and the numbers to solve it with."""
    choose = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    unit = 10 ** choose.uniform(-2, 3)
    lowest = unit * choose.choice([-1, -0.5, 0])
    costs = []
    for _ in range(choose.choice([1, 3])):
        # Also more objects than predictions, and none of either.
        N, M = choose.choice([0, 1, 3, 7, 20]), choose.choice([0, 1, 3, 9])
        cost = torch.rand(N, M, generator=generator)
        costs.append((lowest + unit * cost).double())
    background = choose.choice([0.5, 1000.0, -1000.0, unit / 2, -unit / 2])
    problem = MatchingProblem.from_costs(costs, background)
    if choose.random() < 0.5 and problem.cost.numel():
        largest = problem.cost.abs().max().item()
        object.__setattr__(
            problem, 'bounds', problem.bounds._replace(max_cost=largest)
        )
    return problem, dict(
        epsilon=10 ** choose.uniform(-4, 1),
        tau1=choose.choice(TAUS),
        tau2=choose.choice(TAUS),
        num_iters=choose.choice([1, 2, 5]),
    )


def to(problem, *target):
    """The problem in another dtype or on another device."""
    tensors = (problem.cost, problem.pred_mass, problem.gt_mass)
    moved = (tensor.to(*target) for tensor in tensors)
    return MatchingProblem(*moved, problem.bounds)


def by_sinkhorn(problem, numbers):
    return sinkhorn(problem, **numbers)


def by_float64(problem, numbers):
    """None where it would not be used on a GPU."""
    numbers = Numbers(**numbers)
    if float64.accepts(to(problem, 'meta'), numbers):
        return float64.solve(problem, numbers)
    return None


def by_triton(problem, numbers, is_sparse=False):
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    problem, numbers = to(problem, device), Numbers(**numbers)
    return triton._launch(triton._kernels(), problem, numbers, is_sparse)


def numbers_of(version):
    return [int(number) for number in version.split('.')[:2]]


SOLVERS = {
    'torch': (by_sinkhorn, torch.float32, 150),
    'torch in float64': (by_sinkhorn, torch.float64, 150),
    'float64': (by_float64, torch.float32, 150),
}
if triton_is_current():
    import triton as its_package

    # What stands in for a GPU here: before 3.3 not with NumPy 2.5.
    old = numbers_of(its_package.__version__) < [3, 3]
    can_interpret = not (old and numbers_of(np.__version__) >= [2, 5])
    if torch.cuda.is_available() or can_interpret:
        SOLVERS['Triton'] = (by_triton, torch.float32, 15)
        by_rows = partial(by_triton, is_sparse=True)
        SOLVERS['Triton, sparse'] = (by_rows, torch.float32, 15)
if library():
    SOLVERS['compiled'] = (by_sinkhorn, torch.float32, 300)


@pytest.mark.parametrize('name', SOLVERS)
def test_hostile_numbers(name, scaling_algorithm, monkeypatch):
    solver, dtype, count = SOLVERS[name]
    if name != 'compiled':
        monkeypatch.setattr(compiled, 'can_read', lambda *_: False)
    most = torch.finfo(dtype).max
    solved = 0
    for seed in range(count):
        problem, numbers = draw(seed)
        if problem.cost.numel() == 0:
            continue
        problem = to(problem, dtype)
        plan = solver(problem, numbers)
        if plan is None:
            continue
        solved += 1
        weights = plan.weights.cpu().double()
        expected = scaling_algorithm(problem, **numbers).clamp(max=most)
        assert weights.isfinite().all(), (seed, numbers)
        assert plan.marginal_error.isfinite().all(), (seed, numbers)
        if dtype == torch.float32:
            weights.clamp_(max=ALMOST_GREATEST)
            expected.clamp_(max=ALMOST_GREATEST)
        error = (weights - expected).abs() / expected.clamp(min=1)
        assert error.max() <= TOLERANCE[dtype], (seed, numbers)
    assert solved > count / 10


@pytest.mark.parametrize('name', SOLVERS)
def test_a_weight_beyond_floats_is_the_greatest(name, monkeypatch):
    """P = exp(-C / epsilon) without constraints."""
    solver, dtype, _ = SOLVERS[name]
    if name != 'compiled':
        monkeypatch.setattr(compiled, 'can_read', lambda *_: False)
    problem = MatchingProblem.from_costs([torch.tensor([[-1.0, 0.0]])], 0.0)
    numbers = dict(epsilon=1e-3, tau1=0.0, tau2=0.0, num_iters=20)
    plan = solver(to(problem, dtype), numbers)
    if plan is None:
        return
    expected = [[[torch.finfo(dtype).max, 1.0, 0.0]]]
    assert torch.equal(plan.weights.cpu(), torch.tensor(expected, dtype=dtype))


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('shift', [60, 80, 300, 700])
@pytest.mark.parametrize('num_preds', [20, 3])
def test_costs_of_any_level(
    num_preds, shift, dtype, scaling_algorithm, monkeypatch, worst_error
):
    """With and without background mass, and nothing known of the costs."""
    monkeypatch.setattr(compiled, 'can_read', lambda *_: False)
    cost = torch.rand(num_preds, 3, generator=torch.Generator().manual_seed(0))
    numbers = dict(epsilon=0.05, tau1=1.0, tau2=INF, num_iters=20)
    for sign in (-1, 1):
        costs = [(cost + sign * shift).to(dtype)]
        problem = MatchingProblem.from_costs(costs, 0.5)
        expected = scaling_algorithm(problem, **numbers)
        weights = sinkhorn(problem, **numbers).weights
        assert worst_error(weights, expected) <= TOLERANCE[dtype]
