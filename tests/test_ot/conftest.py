import math

import pytest
import torch

from mmdet_uot.native import library
from mmdet_uot.ot.scaling import compiled, sinkhorn, sparse

# In a hurry that which users have; the others are slow in their number.
SOLVERS = (
    (
        'sparse',
        *(
            pytest.param(x, marks=pytest.mark.slow)
            for x in ('torch', 'compiled')
        ),
    )
    if library()
    else ('torch',)
)

# Which of the backends do not take part.
LEFT_OUT = {
    'torch': (sparse, compiled),
    'compiled': (sparse,),
    'sparse': (),
}


@pytest.fixture(scope='package', autouse=True)
def _one_thread():
    """The problems are small; threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module', params=SOLVERS)
def each_solver(request):
    """Every test once with each solver of the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        left_out = LEFT_OUT[request.param]
        backends = [own for own in sinkhorn.BACKENDS if own not in left_out]
        patch.setattr(sinkhorn, 'BACKENDS', backends)
        yield request.param


@pytest.fixture(scope='session')
def scaling_algorithm():
    """Algorithm 2 line by line, in float64 and the log domain: N * P."""

    def solve(problem, epsilon, tau1, tau2, num_iters, relaxation=1.0):
        log_k = -problem.cost.double() / epsilon
        sides = []
        for mass, tau in ((problem.pred_mass, tau1), (problem.gt_mass, tau2)):
            power = 1.0 if math.isinf(tau) else tau / (tau + epsilon)
            live = mass > 0
            sides.append((mass.double().where(live, 1.0).log(), power, live))
        (log_a, power1, rows), (log_b, power2, columns) = sides
        nothing = log_k.new_tensor(-math.inf)
        v = -columns.sum(1, keepdim=True).double().log()
        v = last = torch.where(columns, v, nothing)
        for k in range(num_iters):
            total = torch.logsumexp(log_k + v[:, None], dim=2)
            u = torch.where(rows, power1 * (log_a - total), nothing)
            total = torch.logsumexp(log_k + u[:, :, None], dim=1)
            v = torch.where(columns, power2 * (log_b - total), nothing)
            factor = min(1 + k / (k + 3), relaxation)
            if k < num_iters - 1:
                moved = last + factor * (v - last)
                v, last = moved.where(columns, nothing), v
        log_plan = u[:, :, None] + log_k + v[:, None]
        return rows.sum(1).double()[:, None, None] * log_plan.exp()

    return solve


@pytest.fixture(scope='session')
def cost_families():
    """Name -> (N, M) cost, from easy to hard."""

    def make(num_preds, num_gts, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def uniform(*shape):
            return torch.rand(*shape, generator=generator)

        shape = (num_preds, num_gts)
        overlap = uniform(*shape)
        distance = uniform(num_preds, 1, 2) - uniform(1, num_gts, 2)
        contested = 0.01 * uniform(*shape) + 1.0
        contested[:1] -= 1.0
        return {
            'uniform': uniform(*shape),
            'geometric': distance.norm(dim=2),
            'iou': torch.where(uniform(*shape) < 0.05, overlap, 1.0),
            'detr': 15 * uniform(*shape),
            'contested': contested,
            'unequal': 0.1 * uniform(*shape)
            + torch.arange(num_gts).mul(0.5).clamp(max=15.0),
            'equal': torch.full(shape, 0.3),
        }

    return make


@pytest.fixture(scope='session')
def worst_error():
    """Greatest |N P - oracle| / max(1, N P); NaN if there is one."""

    def measure(weights, oracle):
        error = (weights.double() - oracle).abs() / oracle.clamp(min=1)
        return error.max().item()

    return measure
