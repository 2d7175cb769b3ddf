"""Full precision, whatever torch was told, and torch as it was."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from mmdet_uot.ot import MatchingProblem, full_precision, sinkhorn

pytestmark = pytest.mark.usefixtures('each_solver')

# Where to set it, and to what: torch has an old way and, since 2.9, a new one.
SETTINGS = [('legacy', 'high'), ('legacy', 'medium'), ('legacy', 'highest')]
HAS_NEW = hasattr(torch.backends, 'fp32_precision')
if HAS_NEW:
    SETTINGS += [
        ('', 'tf32'),
        ('cuda.matmul', 'tf32'),
        ('cuda.matmul', 'ieee'),
        ('cudnn', 'tf32'),
        ('mkldnn', 'bf16'),
        ('mkldnn.matmul', 'bf16'),
    ]
PLACES = ('', 'cuda.matmul', 'cudnn', 'mkldnn', 'mkldnn.matmul')


def place(name):
    found = torch.backends
    for part in filter(None, name.split('.')):
        found = getattr(found, part)
    return found


def chosen():
    """All that torch was told about products of float32."""
    new = [place(name).fp32_precision for name in PLACES] if HAS_NEW else []
    try:
        return [*new, torch.get_float32_matmul_precision()]
    except RuntimeError:
        return new


@pytest.fixture(params=SETTINGS, ids='='.join)
def setting(request):
    where, value = request.param
    if where == 'legacy':
        torch.set_float32_matmul_precision(value)
    else:
        place(where).fp32_precision = value
    yield chosen()
    if where == 'legacy':
        torch.set_float32_matmul_precision('highest')
    else:
        place(where).fp32_precision = 'none'


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    return MatchingProblem.from_costs(
        [torch.rand(40, 7, generator=generator)], 0.5
    )


def solve(problem):
    return sinkhorn(problem, epsilon=0.02, tau1=1.0, tau2=1.0).weights


def test_plans_are_the_same_and_settings_stay(
    setting, problem, scaling_algorithm
):
    oracle = scaling_algorithm(problem, 0.02, 1.0, 1.0, 20)
    torch.testing.assert_close(
        solve(problem).double(), oracle, atol=1e-5, rtol=0
    )
    assert chosen() == setting


def test_threads_do_not_disturb_each_other(setting, problem):
    expected = solve(problem)

    def work(_):
        assert chosen() == setting
        return solve(problem)

    with ThreadPoolExecutor(4) as pool:
        for plan in pool.map(work, range(40)):
            assert torch.equal(plan, expected)
    assert chosen() == setting


@pytest.mark.parametrize(
    'product',
    [
        lambda a, b: a @ b,
        lambda a, b: a.mm(b),
        lambda a, b: torch.einsum('ik,kj->ij', a, b),
        lambda a, b: nn.functional.linear(a, b.mT),
        lambda a, b: torch.addmm(a.new_zeros(()), a, mat2=b),
        lambda a, b: torch.cdist(a, b.mT),
    ],
)
def test_products_of_any_cost_are_exact(product):
    """As rounded from float64, where they might be shortened."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(90, 90, generator=generator) for _ in 'ab')
    a.requires_grad_()
    torch.set_float32_matmul_precision('high')
    try:
        with full_precision(a.device):
            actual = product(a, b)
            wide = product(a.double(), b.double())
    finally:
        torch.set_float32_matmul_precision('highest')
    assert wide.dtype == torch.float64
    assert torch.equal(actual, wide.float())
    assert torch.autograd.grad(actual.sum(), a)[0].dtype == torch.float32


@pytest.mark.parametrize('device', ['cpu', 'meta', 'vulkan'])
def test_autocast_is_off_where_there_is_one(device):
    ones = torch.ones(2, 2)
    autocast = torch.autocast('cpu', dtype=torch.bfloat16)
    with autocast, full_precision(torch.device(device)):
        product = ones @ ones
    expected = torch.float32 if device == 'cpu' else torch.bfloat16
    assert product.dtype == expected
