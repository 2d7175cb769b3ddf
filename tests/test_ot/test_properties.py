"""What holds for every problem and all numbers."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmdet_uot.ot import MatchingProblem, sinkhorn, solve, two_stage

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('each_solver')]

INF = math.inf
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}
SIDES = ('tau1', 'tau2')
garbage = st.sampled_from([0.0, -1e30, INF, -INF, math.nan])


def magnitudes(least, most):
    """Numbers of all orders of magnitude between two."""
    return st.floats(math.log(least), math.log(most)).map(math.exp)


def tables(shape, elements, dtype='f4'):
    """Tensors, often with equal entries."""
    return arrays(dtype, shape, elements=elements).map(torch.from_numpy)


any_dtype = st.sampled_from([*TOLERANCE])
double = st.just(torch.float64)
any_unit = magnitudes(1e-3, 1e3)


@st.composite
def problems(draw, dtypes=any_dtype, units=any_unit):
    """With garbage anywhere, and masses of Prop. 1 or any others."""
    B, N, M = (draw(st.integers(*ends)) for ends in ((1, 3), (1, 7), (0, 6)))
    shares = draw(tables((B, N, M + 1), st.floats(0, 1, width=32)))
    rows = draw(tables((B, N), st.integers(0, 3)))
    columns = draw(tables((B, M + 1), st.integers(0, 3)))
    columns[:, -1] += 1
    proposition1 = draw(st.booleans())
    if not proposition1:
        rows[:, 0] += 1
    unit = draw(units)
    padding = (rows == 0).unsqueeze(2) | (columns == 0).unsqueeze(1)
    cost = unit * shares.to(draw(dtypes)).masked_fill(padding, draw(garbage))
    if proposition1:
        return MatchingProblem.from_padded(
            cost[..., :-1],
            columns[:, :-1] > 0,
            draw(st.sampled_from([unit / 2, cost[..., -1]])),
            rows > 0,
            max_cost=draw(st.sampled_from([unit, INF])),
        )
    masses = (mass.to(cost) for mass in (rows, columns))
    masses = (mass / mass.sum(1, keepdim=True) for mass in masses)
    return MatchingProblem(cost, *masses)


def arguments(epsilons, taus, iterations, **fixed):
    """What :func:`sinkhorn` takes beside the problem."""
    taus = st.sampled_from([0.0, INF]) | taus
    options = dict(
        epsilon=epsilons, tau1=taus, tau2=taus, num_iters=iterations
    )
    fixed = {name: st.just(value) for name, value in fixed.items()}
    return st.fixed_dictionaries({**options, **fixed})


numbers = partial(
    arguments, magnitudes(0.01, 1e3), magnitudes(1e-3, 1e3), st.integers(1, 30)
)
# Costs up to 1 converge with these.
converging = partial(
    arguments, magnitudes(0.3, 10), magnitudes(0.01, 3), st.just(200)
)
small = partial(problems, double, st.just(1.0))
exact = st.sampled_from(
    [
        partial(solve, epsilon=0),
        partial(solve, epsilon=0, tau2=0.0),
        partial(solve, epsilon=0, tau1=0.0),
        two_stage,
    ]
)
scaling = numbers().map(lambda options: partial(sinkhorn, **options))


def close(actual, expected):
    tolerance = TOLERANCE[actual.dtype]
    torch.testing.assert_close(
        actual, expected.to(actual), atol=tolerance, rtol=tolerance
    )


def with_cost(problem, cost):
    """The same masses."""
    return MatchingProblem(cost, problem.pred_mass, problem.gt_mass)


def asked(plan, tau1, tau2, **unused):
    """The masses that the potentials ask for; None where any will do."""
    N = (plan.pred_mass > 0).sum(1, keepdim=True)
    masses = []
    for mass, potential, tau in (
        (plan.pred_mass, plan.pred_potential, tau1),
        (plan.gt_mass, plan.gt_potential, tau2),
    ):
        live = torch.where(mass > 0, potential, 0.0)
        masses.append(N * mass * (-live / tau).exp() if tau else None)
    return masses


def divergence(mass, target):
    """KL(mass | target) of each image."""
    ratio = mass / torch.where(target > 0, target, 1.0)
    return (torch.xlogy(mass, ratio) - mass + target).flatten(1).sum(1)


def objective(plans, problem, epsilon, tau1, tau2, **unused):
    """Def. 4 of plans that respect the hard constraints."""
    kernel = (-problem.cost / epsilon).exp().masked_fill(problem.padding, 0.0)
    total = epsilon * divergence(plans, kernel)
    if tau1 < INF:
        total += tau1 * divergence(plans.sum(2), problem.pred_mass)
    if tau2 < INF:
        total += tau2 * divergence(plans.sum(1), problem.gt_mass)
    return total


class TestEveryIteration:
    @given(problem=problems(), options=numbers())
    def test_algorithm_2(self, problem, options, scaling_algorithm):
        plan = sinkhorn(problem, **options)
        assert plan.weights.dtype == problem.cost.dtype
        assert (plan.weights >= 0).all()
        assert not plan.weights[problem.padding].any()
        close(plan.weights, scaling_algorithm(problem, **options))

    @given(problem=problems(double), options=numbers())
    def test_potentials(self, problem, options):
        """P = exp((f + g - C) / epsilon), P^T 1 = beta exp(-g / tau2)."""
        plan = sinkhorn(problem, **options)
        f, g = plan.pred_potential, plan.gt_potential
        log_plan = f[:, :, None] + g[:, None] - problem.cost
        N = problem.num_preds
        expected = (log_plan / options['epsilon']).exp() * N[:, None, None]
        close(plan.weights, expected)
        rows, columns = asked(plan, **options)
        if columns is not None:
            close(plan.gt_marginal, columns)
        if rows is not None:
            error = (plan.pred_marginal - rows).abs().sum(1)
            close(plan.marginal_error, error / N.clamp(min=1))

    @given(problem=problems(double), options=numbers(tau1=INF), data=st.data())
    def test_hard_rows_ignore_a_constant_in_a_row(
        self, problem, options, data
    ):
        shift = tables(problem.pred_mass.shape, st.floats(-100, 100), 'f8')
        shift = data.draw(shift).unsqueeze(2)
        shifted = with_cost(problem, problem.cost + shift)
        expected = sinkhorn(problem, **options).weights
        close(sinkhorn(shifted, **options).weights, expected)

    @given(
        problem=problems(double), options=numbers(), unit=magnitudes(0.01, 100)
    )
    def test_unit_of_the_cost(self, problem, options, unit):
        expected = sinkhorn(problem, **options).weights
        for name in ('epsilon', *SIDES):
            options[name] *= unit
        scaled = with_cost(problem, unit * problem.cost)
        close(sinkhorn(scaled, **options).weights, expected)

    @pytest.mark.parametrize('side', SIDES)
    @pytest.mark.parametrize('limit, factor', [(INF, 1e15), (0.0, 1e-15)])
    @given(problem=problems(double), options=numbers())
    def test_limits_of_tau(self, side, limit, factor, problem, options):
        near, at = (
            sinkhorn(problem, **{**options, side: tau}).weights
            for tau in (factor * options['epsilon'], limit)
        )
        close(near, at)

    @pytest.mark.parametrize(
        'tau1, tau2', [(INF, INF), (INF, 0.0), (0.0, INF)]
    )
    @given(problem=problems(double))
    def test_limit_of_large_epsilon(self, tau1, tau2, problem):
        """No cost matters: rows and columns are independent."""
        rows, columns = problem.pred_mass, problem.gt_mass
        if tau1 == 0:
            rows = (rows > 0).double()
        if tau2 == 0:
            columns = (columns > 0).double()
        expected = rows[:, :, None] * columns[:, None]
        total = expected.sum((1, 2), keepdim=True).clamp(min=1)
        expected *= problem.num_preds[:, None, None] / total
        plan = sinkhorn(problem, epsilon=1e15, tau1=tau1, tau2=tau2)
        close(plan.weights, expected)


class TestOptimum:
    @given(problem=small(), options=converging())
    def test_both_sides_have_the_mass_asked_for(self, problem, options):
        plan = sinkhorn(problem, **options)
        for marginal, mass in zip(
            (plan.pred_marginal, plan.gt_marginal), asked(plan, **options)
        ):
            if mass is not None:
                close(marginal, mass)

    @given(problem=small(), options=converging())
    def test_no_feasible_plan_is_better(self, problem, options):
        """Feasible are mixtures with the plan of any other costs."""
        plan, other = (
            sinkhorn(with_cost(problem, cost), **options).weights
            / problem.num_preds.clamp(min=1)[:, None, None]
            for cost in (problem.cost, problem.cost.square())
        )
        least = objective(plan, problem, **options)
        for share in (1e-3, 0.1, 1.0):
            mixture = torch.lerp(plan, other, share)
            assert (
                objective(mixture, problem, **options) > least - 1e-9
            ).all()

    @pytest.mark.parametrize('side', SIDES)
    @given(problem=small(), options=converging())
    def test_mass_is_closer_with_greater_tau(self, side, problem, options):
        distances = []
        for tau in (0.0, 0.1, 1.0, INF):
            plan = sinkhorn(problem, **{**options, side: tau})
            marginal, mass = (
                (plan.pred_marginal, plan.pred_mass)
                if side == 'tau1'
                else (plan.gt_marginal, plan.gt_mass)
            )
            N = problem.num_preds.clamp(min=1)[:, None]
            distances.append(divergence(marginal / N, mass))
        distances = torch.stack(distances)
        assert (distances.diff(dim=0) < 1e-9).all()
        close(distances[-1], torch.zeros(()).expand(len(problem.cost)))


class TestSymmetry:
    @given(problem=problems(), solver=scaling | exact)
    def test_an_image_alone_and_without_padding(self, problem, solver):
        plan = solver(problem)
        expected = torch.zeros_like(plan.weights)
        for image, cost in enumerate(problem.cost):
            # Without mass the background is still a threshold.
            columns = problem.gt_mass[image] > 0
            columns[-1] = True
            rows = problem.pred_mass[image].nonzero()
            columns = columns.nonzero()[:, 0]
            alone = MatchingProblem(
                cost[rows, columns][None],
                problem.pred_mass[image, rows].mT,
                problem.gt_mass[image, columns][None],
            )
            expected[image, rows, columns] = solver(alone).weights[0]
        close(plan.weights, expected)

    @given(problem=problems(), solver=scaling, random=st.randoms())
    def test_order(self, problem, solver, random):
        images, rows, columns = (
            random.sample(range(n), n) for n in problem.cost.shape
        )
        moved = MatchingProblem(
            problem.cost[images][:, rows][:, :, columns],
            problem.pred_mass[images][:, rows],
            problem.gt_mass[images][:, columns],
            problem.bounds,
        )
        plan = solver(problem).weights[images][:, rows][:, :, columns]
        close(solver(moved).weights, plan)

    @given(problem=problems(), options=numbers(), data=st.data())
    def test_one_epsilon_per_image(self, problem, options, data):
        B = len(problem.cost)
        epsilons = data.draw(tables(B, magnitudes(0.01, 1e3), 'f8'))
        together = sinkhorn(problem, **{**options, 'epsilon': epsilons})
        for image, epsilon in enumerate(epsilons.tolist()):
            plan = sinkhorn(problem, **{**options, 'epsilon': epsilon})
            close(together.weights[image], plan.weights[image])

    @given(problem=problems(), solver=scaling | exact)
    def test_solving_leaves_no_trace(self, problem, solver):
        cost = problem.cost.clone()
        first = solver(problem).weights
        assert torch.equal(problem.cost, cost)
        assert torch.equal(solver(problem).weights, first)


class TestExactMatchers:
    @given(problem=problems())
    def test_hungarian_matches_all_that_it_can(self, problem):
        plan = solve(problem, epsilon=0)
        close(plan.pred_marginal, problem.pred_mass > 0)
        mass = problem.num_preds[:, None] * problem.gt_mass[:, :-1]
        asked = (mass - 1e-3).ceil().clamp(min=1).where(mass > 0, 0)
        assert (plan.foreground.sum(1) <= asked).all()
        possible = torch.minimum(problem.num_preds, asked.sum(1))
        close(plan.foreground.sum((1, 2)), possible)

    @given(problem=problems())
    def test_closest_ground_truth_keeps_the_predictions_mass(self, problem):
        plan = solve(problem, epsilon=0, tau2=0.0)
        close(plan.pred_marginal, problem.num_preds[:, None] * plan.pred_mass)
        assert ((plan.weights > 0).sum(2) == (plan.pred_mass > 0)).all()

    @given(problem=problems())
    def test_closest_prediction_keeps_the_ground_truths_mass(self, problem):
        plan = solve(problem, epsilon=0, tau1=0.0)
        mass = problem.num_preds[:, None] * plan.gt_mass
        close(plan.foreground.sum(1), mass[:, :-1])
        live = plan.gt_mass[:, :-1] > 0
        assert ((plan.foreground > 0).sum(1) == live).all()
