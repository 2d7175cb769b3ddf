"""Ranges of masses: at least, at most, and free between."""

import math

import pytest
import torch
from scipy.optimize import linprog

from mmdet_uot.native import library
from mmdet_uot.ot import (
    MatchingProblem,
    concatenate,
    sinkhorn,
    solve,
    valid_mask,
)
from mmdet_uot.ot.numbers import Numbers
from mmdet_uot.ot.scaling import absorbed, compiled, float64, sparse

close = torch.testing.assert_close
inf = math.inf
BACKENDS = [absorbed, float64, *([compiled, sparse] if library() else [])]
TAUS = [(inf, inf), (100.0, 0.5), (inf, 0.0), (0.0, inf), (1.0, 1.0)]
RANGES = [(1.0, inf), (0.0, 2.0), (0.5, 1.5), (0.0, inf), (3.0, 4.0)]


def problem_of(asked, at_most=None, N=30, sizes=(4, 0, 6), seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = len(sizes), max(sizes) + 1, N
    cost = torch.rand(shape, generator=generator).mT
    cost[..., -1] = 0.3
    return MatchingProblem.from_masks(
        cost,
        valid_mask(list(sizes), torch.device('cpu')),
        torch.ones(shape[0], N, dtype=torch.bool),
        max_cost=1.0,
        asked=asked,
        at_most=at_most,
    )


def oracle(problem, epsilon, tau1, tau2, num_iters):
    """The iterations in float64 and the log domain: N * P."""
    log_k = -problem.cost.double() / epsilon
    power1, power2 = (
        1.0 if math.isinf(tau) else tau / (tau + epsilon)
        for tau in (tau1, tau2)
    )
    live = problem.gt_mass > 0
    least, most = problem.gt_range.double().log().clamp(-1e9, 1e9)
    nothing = log_k.new_tensor(-inf)
    log_a = problem.pred_mass.double().log()
    v = -live.sum(1, keepdim=True).double().log()
    v = torch.where(live, v, nothing)
    for _ in range(num_iters):
        u = power1 * (log_a - torch.logsumexp(log_k + v[:, None], 2))
        total = torch.logsumexp(log_k + u[:, :, None], 1)
        low, high = power2 * (least - total), power2 * (most - total)
        v = torch.where(live, low.clamp(min=0).minimum(high), nothing)
    plan = (u[:, :, None] + log_k + v[:, None]).exp()
    return problem.cost.shape[1] * plan


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('taus', TAUS, ids=str)
@pytest.mark.parametrize('bounds', RANGES, ids=str)
@pytest.mark.parametrize('epsilon', [0.02, 0.3])
def test_every_backend_runs_the_algorithm(
    backend, taus, bounds, epsilon, worst_error
):
    problem = problem_of(*bounds)
    plan = backend.solve(problem, Numbers(epsilon, *taus, num_iters=30))
    if plan is None:  # many pairs are for the solver of matrices
        assert backend is sparse
        return
    expected = oracle(problem, epsilon, *taus, num_iters=30)
    assert worst_error(plan.weights, expected) < 1e-5


@pytest.mark.parametrize('relaxation', [1.0, 1.7])
@pytest.mark.parametrize('bounds', RANGES, ids=str)
def test_masses_lie_in_their_range(bounds, relaxation, each_solver):
    """What lies between the ends is free: its scaling is 1."""
    problem = problem_of(*bounds)
    plan = sinkhorn(
        problem, epsilon=0.05, num_iters=500, relaxation=relaxation
    )
    least, most = plan.gt_asked
    close(plan.gt_asked, 30 * problem.gt_range)
    received = plan.gt_marginal
    assert (received >= least - 1e-3).all()
    assert (received <= most + 1e-3).all()
    live = problem.gt_mass > 0
    between = live & (received > least + 0.01) & (received < most - 0.01)
    scaling = plan.gt_potential[between]
    close(scaling, torch.zeros_like(scaling), rtol=0, atol=1e-4)
    close(plan.pred_marginal, torch.ones(3, 30), rtol=0, atol=1e-3)


@pytest.mark.parametrize('taus', TAUS, ids=str)
def test_equal_ends_are_a_fixed_mass(taus, each_solver):
    numbers = dict(epsilon=0.05, tau1=taus[0], tau2=taus[1], num_iters=30)
    fixed = solve(problem_of(2.0), **numbers)
    equal = solve(problem_of(2.0, 2.0), **numbers)
    close(equal.weights, fixed.weights, rtol=1e-5, atol=1e-6)


def test_no_bounds_are_no_constraint(each_solver):
    free = solve(problem_of(0.0, inf), epsilon=0.05)
    dropped = solve(problem_of(1.0), epsilon=0.05, tau2=0.0)
    close(free.weights, dropped.weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('bounds', [(1.0, inf), (0.0, 2.0), (2.0, 3.0)])
def test_the_limit_is_the_linear_program(bounds):
    problem = problem_of(*bounds, sizes=(4,))
    plan = solve(problem, epsilon=2e-3, num_iters=5000)
    cost = problem.cost[0].double()
    N, columns = cost.shape
    rows = torch.eye(N).repeat_interleave(columns, 1)
    sums = torch.eye(columns).repeat(1, N)
    least, most = N * problem.gt_range[:, 0]
    finite = most.isfinite()
    best = linprog(
        cost.flatten(),
        A_eq=rows,
        b_eq=torch.ones(N),
        A_ub=torch.cat((-sums, sums[finite])),
        b_ub=torch.cat((-least, most[finite])),
    )
    total = (plan.weights[0].double() * cost).sum().item()
    assert total == pytest.approx(best.fun, rel=0.01)


def test_more_is_asked_for_than_there_is(each_solver):
    problem = problem_of(8.0, inf, N=12, sizes=(3, 1))
    received = solve(problem, epsilon=0.3, num_iters=500).gt_marginal
    close(received[0], torch.tensor([4.0, 4, 4, 0]), rtol=0, atol=1e-3)
    assert received[1, 0] >= 8 - 1e-3


def test_joined_plans_ask_for_what_each_asked_for():
    parts = [
        solve(problem_of(*ask, sizes=sizes), epsilon=0.05)
        for *ask, sizes in ((1.0, inf, (2,)), (2.0, (5, 1)), (0.0, 3.0, (4,)))
    ]
    joined = concatenate(parts, (4, 30, 6))
    least, most = joined.gt_asked[..., :-1]
    for image, (count, low, high) in enumerate(
        [(2, 1, inf), (5, 2, 2), (1, 2, 2), (4, 0, 3)]
    ):
        assert least[image].tolist() == pytest.approx(
            [low] * count + [0] * (5 - count)
        )
        assert most[image].tolist() == pytest.approx(
            [high] * count + [0] * (5 - count)
        )
    assert solve(problem_of(2.0), epsilon=0.05).gt_range is None


def test_exact_matchers_refuse():
    problem = problem_of(1.0, inf)
    for taus in ((inf, inf), (0.0, inf)):
        with pytest.raises(ValueError, match='needs the scaling algorithm'):
            solve(problem, epsilon=0, tau1=taus[0], tau2=taus[1])
