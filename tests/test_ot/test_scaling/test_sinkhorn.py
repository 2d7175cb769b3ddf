import math

import numpy as np
import ot
import pytest
import torch

from mmdet_uot.ot import MatchingProblem, hungarian, sinkhorn

pytestmark = pytest.mark.usefixtures('each_solver')

INF = math.inf
TAUS = (0.0, 1e-3, 0.01, 1.0, 100.0, INF)
EPSILONS = (1e-3, 0.0112, 0.1, 1.0)
SHAPES = ((1, 0), (1, 1), (1, 4), (3, 9), (7, 7), (40, 0), (100, 30))
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}
SSD = dict(epsilon=0.0112, tau1=100.0, tau2=0.01)
BALANCED = dict(epsilon=0.0112, tau1=INF, tau2=INF)
SOFT = dict(epsilon=0.0112, tau1=1.0, tau2=1.0)

CUBE = [(e, t1, t2) for e in EPSILONS for t1 in TAUS for t2 in TAUS]


def random_problem(seed=0, num_preds=6, num_gts=3, background_cost=0.5):
    generator = torch.Generator().manual_seed(seed)
    cost = torch.rand(
        num_preds, num_gts, generator=generator, dtype=torch.float64
    )
    return MatchingProblem.from_costs([cost], background_cost)


class TestAgainstOracle:
    """Equal numbers of iterations of Algorithm 2 in float64."""

    @pytest.mark.parametrize('dtype', TOLERANCE)
    @pytest.mark.parametrize('epsilon, tau1, tau2', CUBE)
    def test_cube(
        self,
        dtype,
        epsilon,
        tau1,
        tau2,
        cost_families,
        scaling_algorithm,
        worst_error,
    ):
        case = CUBE.index((epsilon, tau1, tau2))
        for shape in (SHAPES[case % 7], SHAPES[(case + 3) % 7]):
            costs = cost_families(*shape, seed=case).values()
            costs = [cost.to(dtype) for cost in costs]
            problem = MatchingProblem.from_costs(costs, 0.5)
            oracle = scaling_algorithm(problem, epsilon, tau1, tau2, 20)
            plan = sinkhorn(problem, epsilon=epsilon, tau1=tau1, tau2=tau2)
            assert plan.weights.dtype == dtype
            assert worst_error(plan.weights, oracle) <= TOLERANCE[dtype]

    @pytest.mark.parametrize('num_iters', [1, 2, 3, 7, 200])
    @pytest.mark.parametrize('parameters', [SSD, BALANCED, SOFT])
    @pytest.mark.parametrize('dtype', TOLERANCE)
    def test_iterations(
        self,
        dtype,
        parameters,
        num_iters,
        cost_families,
        scaling_algorithm,
        worst_error,
    ):
        """A batch of every family and shape at once, so full of padding."""
        costs = [
            cost.to(dtype)
            for shape in SHAPES
            for cost in cost_families(*shape).values()
        ]
        background = [0.6 + 0.4 * cost.new_ones(len(cost)) for cost in costs]
        problem = MatchingProblem.from_costs(costs, background)
        oracle = scaling_algorithm(problem, **parameters, num_iters=num_iters)
        plan = sinkhorn(problem, **parameters, num_iters=num_iters)
        assert worst_error(plan.weights, oracle) <= TOLERANCE[dtype]

    @pytest.mark.parametrize(
        'shape, family, parameters, num_iters',
        [
            ((8732, 30), 'iou', SSD, 20),
            ((8732, 30), 'uniform', BALANCED, 20),
            ((8732, 30), 'unequal', dict(epsilon=0.1, tau1=0.01, tau2=100), 5),
            ((24564, 200), 'iou', SSD, 5),
            ((24564, 200), 'unequal', dict(BALANCED, epsilon=1e-3), 5),
            ((24564, 30), 'equal', BALANCED, 5),
            ((24564, 3), 'unequal', dict(epsilon=0.1, tau1=1, tau2=100), 5),
            ((24564, 1), 'iou', dict(epsilon=0.1, tau1=1, tau2=100), 5),
            ((24564, 0), 'iou', SSD, 5),
        ],
    )
    @pytest.mark.slow
    def test_large(
        self,
        shape,
        family,
        parameters,
        num_iters,
        cost_families,
        scaling_algorithm,
        worst_error,
    ):
        cost = cost_families(*shape)[family]
        problem = MatchingProblem.from_costs([cost], 0.5)
        oracle = scaling_algorithm(problem, **parameters, num_iters=num_iters)
        plan = sinkhorn(problem, **parameters, num_iters=num_iters)
        assert worst_error(plan.weights, oracle) <= 1e-4

    @pytest.mark.parametrize('tau2', TAUS)
    @pytest.mark.parametrize('tau1', TAUS)
    def test_masses_of_any_size(
        self, tau1, tau2, cost_families, scaling_algorithm, worst_error
    ):
        generator = torch.Generator().manual_seed(0)
        for shape in ((2, 1), (5, 3), (40, 7)):
            cost = torch.stack(tuple(cost_families(*shape).values()))
            cost = torch.nn.functional.pad(cost, (0, 1), value=0.5)
            a = torch.rand(len(cost), shape[0], generator=generator) + 0.01
            b = torch.rand(len(cost), shape[1] + 1, generator=generator) + 0.01
            a, b = (mass / mass.sum(1, keepdim=True) for mass in (a, b))
            b[0, 0] = 0.0
            problem = MatchingProblem(cost, a, b)
            for epsilon in (1e-3, 0.1):
                oracle = scaling_algorithm(problem, epsilon, tau1, tau2, 50)
                plan = sinkhorn(
                    problem,
                    epsilon=epsilon,
                    tau1=tau1,
                    tau2=tau2,
                    num_iters=50,
                )
                assert worst_error(plan.weights, oracle) <= 1e-4

    @pytest.mark.parametrize('tau2', [0.0, 1.0, 100.0, INF])
    @pytest.mark.parametrize('tau1', [0.0, 1.0, 10.0, 100.0, INF])
    def test_background_cost_beyond_all_others(
        self, tau1, tau2, scaling_algorithm, worst_error
    ):
        """Corollary 2 sets it high, also in images without objects."""
        costs = [torch.rand(50, 0), torch.linspace(0, 1, 150).view(50, 3)]
        problem = MatchingProblem.from_costs(costs, background_cost=1000.0)
        for epsilon in EPSILONS:
            oracle = scaling_algorithm(problem, epsilon, tau1, tau2, 20)
            plan = sinkhorn(problem, epsilon=epsilon, tau1=tau1, tau2=tau2)
            assert worst_error(plan.weights, oracle) <= 1e-4


class TestAgainstPeers:
    """Converged, in float64."""

    @pytest.mark.filterwarnings('ignore:If reg_type')
    @pytest.mark.parametrize('tau1', [0.01, 1.0, 100.0])
    @pytest.mark.parametrize('tau2', [0.01, 1.0, 100.0])
    @pytest.mark.parametrize('epsilon', [0.05, 0.3])
    @pytest.mark.slow
    def test_pot_unbalanced(self, epsilon, tau1, tau2):
        problem = random_problem(seed=1)
        peer = ot.unbalanced.sinkhorn_unbalanced(
            problem.pred_mass[0].numpy(),
            problem.gt_mass[0].numpy(),
            problem.cost[0].numpy(),
            reg=epsilon,
            reg_m=(tau1, tau2),
            reg_type='entropy',
            numItermax=50000,
            stopThr=1e-15,
        )
        plan = sinkhorn(
            problem, epsilon=epsilon, tau1=tau1, tau2=tau2, num_iters=50000
        )
        np.testing.assert_allclose(plan.weights[0] / 6, peer, atol=1e-9)

    @pytest.mark.parametrize('epsilon', [0.05, 0.1, 1.0])
    def test_pot_balanced(self, epsilon):
        problem = random_problem(seed=2)
        peer = ot.sinkhorn(
            problem.pred_mass[0].numpy(),
            problem.gt_mass[0].numpy(),
            problem.cost[0].numpy(),
            reg=epsilon,
            method='sinkhorn_log',
            numItermax=20000,
            stopThr=1e-13,
        )
        plan = sinkhorn(problem, epsilon=epsilon, num_iters=20000)
        np.testing.assert_allclose(plan.weights[0] / 6, peer, atol=1e-9)

    @pytest.mark.parametrize('seed', range(5))
    def test_no_regularisation_is_the_limit(self, seed):
        problem = random_problem(seed, num_preds=8, num_gts=4)
        peer = ot.emd(
            problem.pred_mass[0].numpy(),
            problem.gt_mass[0].numpy(),
            problem.cost[0].numpy(),
        )
        plan = sinkhorn(problem, epsilon=1e-3, num_iters=2000)
        np.testing.assert_allclose(plan.weights[0] / 8, peer, atol=1e-3)
        torch.testing.assert_close(
            plan.weights, hungarian(problem).weights, atol=1e-2, rtol=0
        )


SIDES = [(INF, INF), (1.0, 0.5), (100.0, 0.01), (0.0, INF), (INF, 0.2)]


def converged(problem, tau1, tau2, epsilon=0.1):
    return sinkhorn(
        problem, epsilon=epsilon, tau1=tau1, tau2=tau2, num_iters=5000
    )


def penalty(mass, target, tau):
    """tau * KL(mass | target)."""
    return tau * (mass * (mass / target).log() - mass + target).sum()


def primal(plan, problem, tau1, tau2, epsilon=0.1):
    """Eq. (6) for one image."""
    return (
        penalty(plan, (-problem.cost[0] / epsilon).exp(), epsilon)
        + penalty(plan.sum(1), problem.pred_mass[0], tau1)
        + penalty(plan.sum(0), problem.gt_mass[0], tau2)
    )


class TestOptimality:
    @pytest.mark.parametrize('tau1, tau2', SIDES)
    def test_potentials_give_the_plan(self, tau1, tau2):
        problem = random_problem(seed=3)
        plan = converged(problem, tau1, tau2)
        f, g = plan.pred_potential, plan.gt_potential
        log_plan = (f[:, :, None] + g[:, None] - problem.cost) / 0.1
        torch.testing.assert_close(
            plan.weights, 6 * log_plan.exp(), rtol=1e-9, atol=0
        )

    @pytest.mark.parametrize('tau1, tau2', SIDES)
    def test_potentials_are_a_fixed_point(self, tau1, tau2):
        """P 1 = alpha exp(-f / tau1), P^T 1 = beta exp(-g / tau2)."""
        problem = random_problem(seed=4)
        plan = converged(problem, tau1, tau2)
        for marginal, mass, potential, tau in (
            (plan.pred_marginal, plan.pred_mass, plan.pred_potential, tau1),
            (plan.gt_marginal, plan.gt_mass, plan.gt_potential, tau2),
        ):
            if tau == 0:
                assert (potential == 0).all()
            else:
                expected = 6 * mass * (-potential / tau).exp()
                torch.testing.assert_close(
                    marginal, expected, rtol=1e-9, atol=0
                )
        assert plan.marginal_error.item() < 1e-10

    @pytest.mark.parametrize('tau1, tau2', [(1.0, 0.5), (100.0, 0.01)])
    def test_primal_is_the_dual_and_least(self, tau1, tau2):
        problem = random_problem(seed=5)
        solved = converged(problem, tau1, tau2)
        plan = solved.weights[0] / 6
        kernel = (-problem.cost[0] / 0.1).exp()
        f, g = solved.pred_potential[0], solved.gt_potential[0]
        dual = (
            tau1 * (problem.pred_mass[0] * (1 - (-f / tau1).exp())).sum()
            + tau2 * (problem.gt_mass[0] * (1 - (-g / tau2).exp())).sum()
            + 0.1 * (kernel - plan).sum()
        )
        least = primal(plan, problem, tau1, tau2)
        torch.testing.assert_close(least, dual, rtol=1e-9, atol=0)
        generator = torch.Generator().manual_seed(0)
        for scale in (1e-3, 1e-2, 0.1, 1.0):
            for _ in range(10):
                noise = torch.randn(plan.shape, generator=generator)
                other = plan * (scale * noise.double()).exp()
                assert primal(other, problem, tau1, tau2) > least

    def test_marginal_error_decreases_to_zero(self):
        problem = random_problem(seed=6)
        errors = [
            sinkhorn(problem, epsilon=0.1, num_iters=n).marginal_error.item()
            for n in (1, 2, 5, 10, 50, 200)
        ]
        assert all(a > b for a, b in zip(errors, errors[1:]))
        assert errors[-1] < 1e-6

    def test_marginal_error_measures_the_rows(self):
        """Balanced: the distance to alpha; columns were scaled last."""
        problem = random_problem(seed=7)
        plan = sinkhorn(problem, epsilon=0.05, num_iters=3)
        error = (plan.pred_marginal / 6 - plan.pred_mass).abs().sum(1)
        torch.testing.assert_close(plan.marginal_error, error)
        torch.testing.assert_close(plan.gt_marginal, 6 * plan.gt_mass)


class TestParameters:
    def test_columns_come_closer_to_their_mass_with_tau2(self):
        problem = random_problem(seed=8)
        deviations = []
        for tau2 in (0.0, 0.01, 0.1, 1.0, 10.0, INF):
            marginal = converged(problem, INF, tau2).gt_marginal / 6
            error = (marginal - problem.gt_mass).abs().sum()
            deviations.append(error.item())
        assert deviations == sorted(deviations, reverse=True)
        assert deviations[-1] < 1e-9 < 0.01 < deviations[0]

    def test_rows_come_closer_to_their_mass_with_tau1(self):
        problem = random_problem(seed=9)
        deviations = []
        for tau1 in (0.01, 0.1, 1.0, 10.0, INF):
            marginal = converged(problem, tau1, INF).pred_marginal / 6
            error = (marginal - problem.pred_mass).abs().sum()
            deviations.append(error.item())
        assert deviations == sorted(deviations, reverse=True)
        assert deviations[-1] < 1e-9 < 0.01 < deviations[0]

    @pytest.mark.parametrize('tau', [1e4, 1e6])
    def test_infinity_is_the_limit(self, tau):
        problem = random_problem(seed=10)
        soft, hard = converged(problem, tau, tau), converged(problem, INF, INF)
        torch.testing.assert_close(
            soft.weights, hard.weights, atol=10 / tau, rtol=0
        )

    @pytest.mark.parametrize(
        'error, parameters, words',
        [
            (ValueError, dict(epsilon=0.0), ['epsilon', '0.0', 'solve']),
            (ValueError, dict(epsilon=-0.1), ['epsilon', '-0.1']),
            (ValueError, dict(epsilon=math.nan), ['epsilon', 'nan']),
            (ValueError, dict(epsilon=INF), ['epsilon', 'inf']),
            (ValueError, dict(tau1=-1.0), ['tau1', '-1.0', 'math.inf']),
            (ValueError, dict(tau2=math.nan), ['tau2', 'nan']),
            (ValueError, dict(num_iters=0), ['num_iters', '0']),
            (TypeError, dict(num_iters=2.5), ['float']),
            (TypeError, dict(tau_1=1.0), ['tau_1']),
        ],
    )
    def test_wrong_input(self, error, parameters, words):
        with pytest.raises(error) as info:
            sinkhorn(random_problem(), **{'epsilon': 0.1, **parameters})
        assert all(word in str(info.value) for word in words)

    def test_positional_numbers_are_refused(self):
        with pytest.raises(TypeError):
            sinkhorn(random_problem(), 0.1)
