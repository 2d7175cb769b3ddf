import itertools
import math

import pytest
import torch

from mmdet_uot.ot import (
    EPSILON_RULES,
    MatchingProblem,
    scale_epsilon,
    sinkhorn,
    support_size,
)


class TestScaleEpsilon:
    @pytest.mark.parametrize(
        'num_preds, rule, expected',
        [
            (8732, 'log_2n', 0.12 / (math.log(17464) + 1)),
            (8732, 'log_n', 0.12 / (math.log(8732) + 1)),
            (100, 'log_2n', 0.12 / (math.log(200) + 1)),
            (1, 'log_n', 0.12),
        ],
    )
    def test_rules(self, num_preds, rule, expected):
        assert scale_epsilon(num_preds, rule=rule) == pytest.approx(expected)

    def test_default_is_the_paper_s(self):
        assert scale_epsilon(8732) == pytest.approx(0.0111, abs=1e-4)
        assert scale_epsilon(50, 0.3) == pytest.approx(2.5 * scale_epsilon(50))

    @pytest.mark.parametrize('rule', EPSILON_RULES)
    def test_falls_with_the_number_of_predictions(self, rule):
        values = [scale_epsilon(n, rule=rule) for n in (1, 10, 100, 10**6)]
        assert values == sorted(values, reverse=True) and values[-1] > 0

    @pytest.mark.parametrize(
        'arguments, words',
        [
            ((10, 0.1, 'log_3n'), ['rule', 'log_2n', 'log_n', 'log_3n']),
            ((0,), ['num_preds', '0']),
            ((10, 0.0), ['epsilon0', '0.0']),
            ((10, -1.0), ['epsilon0', '-1.0']),
            ((10, math.nan), ['epsilon0', 'nan']),
            ((10, math.inf), ['epsilon0', 'inf']),
        ],
    )
    def test_wrong_input(self, arguments, words):
        with pytest.raises(ValueError) as info:
            scale_epsilon(*arguments)
        assert all(word in str(info.value) for word in words)


def closest_uniform_support(plan):
    """Prop. 8 by trying every support."""
    best = None
    for size in range(1, plan.numel() + 1):
        for support in itertools.combinations(range(plan.numel()), size):
            match = torch.zeros_like(plan)
            match[list(support)] = 1 / size
            distance = (plan - match).square().sum().item()
            if best is None or distance < best[0] - 1e-12:
                best = distance, size
    return best[1]


class TestSupportSize:
    @pytest.mark.parametrize('seed', range(20))
    def test_brute_force(self, seed):
        generator = torch.Generator().manual_seed(seed)
        plan = torch.rand(9, generator=generator, dtype=torch.float64)
        plan = plan ** (seed % 5 + 1)
        expected = closest_uniform_support(plan / plan.sum())
        assert support_size(plan.view(1, 3, 3)).tolist() == [expected]

    @pytest.mark.parametrize('size', [1, 2, 17, 100, 3000, 8732])
    def test_uniform_match_has_its_own_size(self, size):
        plan = torch.zeros(1, 8732 * 3)
        plan[:, torch.randperm(8732 * 3)[:size]] = 1 / size
        assert support_size(plan.view(1, 8732, 3)).tolist() == [size]

    def test_batch_and_total_mass(self):
        plan = torch.rand(4, 6, 3)
        scale = torch.tensor([1.0, 6.0, 0.01, 0.0]).view(4, 1, 1)
        expected = [support_size(p[None]).item() for p in plan[:3]] + [1]
        assert support_size(plan * scale).tolist() == expected

    def test_little_noise_is_ignored(self):
        plan = torch.full((1, 10, 10), 1e-6)
        plan[0, :4, 0] = 0.25
        assert support_size(plan).tolist() == [4]


def problem(unit, num_gts=7):
    generator = torch.Generator().manual_seed(0)
    costs = torch.rand(2, 20, num_gts, generator=generator)
    return MatchingProblem.from_costs([*(unit * costs)], 0.5 * unit)


TAUS = [
    (math.inf, math.inf),
    (100.0, 0.01),
    (0.0, math.inf),
    (math.inf, 0.0),
    (1e-6, 1e6),
    (1e30, 1e-30),
]


class TestTinyEpsilonOrHugeCosts:
    @pytest.mark.parametrize('num_gts', [7, 30])
    @pytest.mark.parametrize('unit', [1e-30, 1.0, 1e6, 1e30])
    @pytest.mark.parametrize('epsilon', [1e-300, 1e-30, 1e-6, 1.0, 1e30])
    @pytest.mark.parametrize('tau1, tau2', TAUS)
    def test_the_plan_is_finite_and_its_error_known(
        self, tau1, tau2, epsilon, unit, num_gts
    ):
        hard = problem(unit, num_gts)
        per_image = torch.full((2,), epsilon, dtype=torch.float64)
        for given in (epsilon, per_image):
            plan = sinkhorn(hard, epsilon=given, tau1=tau1, tau2=tau2)
            assert plan.weights.isfinite().all()
            assert (plan.weights >= 0).all()
            assert plan.marginal_error.isfinite().all()
            if tau2 == math.inf:
                torch.testing.assert_close(
                    plan.gt_marginal, 20 * plan.gt_mass, rtol=1e-4, atol=1e-4
                )
            if tau1 == math.inf:
                error = (plan.pred_marginal - 1).abs().sum(1) / 20
                torch.testing.assert_close(
                    plan.marginal_error, error.double(), rtol=0, atol=1e-5
                )

    def test_a_plan_that_has_not_converged_says_so(self):
        assert (
            sinkhorn(problem(1.0), epsilon=1e-6).marginal_error > 0.1
        ).all()

    @pytest.mark.parametrize('tau1, tau2', TAUS)
    def test_float64_still_resolves_twelve_orders_of_magnitude(
        self, tau1, tau2, scaling_algorithm
    ):
        options = dict(epsilon=1e-6, tau1=tau1, tau2=tau2, num_iters=20)
        hard = problem(1e6)
        torch.testing.assert_close(
            sinkhorn(hard, **options).weights.double(),
            scaling_algorithm(hard, **options),
            rtol=1e-3,
            atol=1e-3,
        )

    @pytest.mark.parametrize('tau1, tau2', TAUS[:2])
    def test_a_huge_cost_concerns_its_image_only(self, tau1, tau2):
        options = dict(epsilon=0.01, tau1=tau1, tau2=tau2)
        ordinary = problem(1.0)
        cost = ordinary.cost.clone()
        cost[0] *= 1e30
        mixed = MatchingProblem(cost, ordinary.pred_mass, ordinary.gt_mass)
        torch.testing.assert_close(
            sinkhorn(mixed, **options).weights[1],
            sinkhorn(ordinary, **options).weights[1],
            rtol=1e-4,
            atol=1e-5,
        )
