"""The compiled library: that it is there, and that it can be done without."""

import ctypes
import shutil
import subprocess
import sys
import sysconfig

import pytest
import torch

from mmdet_uot.native import can_read, library
from mmdet_uot.native.sources import LIBRARIES, source_hash
from mmdet_uot.ot import MatchingProblem, sinkhorn

pytestmark = pytest.mark.slow

FORK = """
import os
import torch
from mmdet_uot.ot import MatchingProblem, sinkhorn

def work():
    problem = MatchingProblem.from_costs([torch.rand(300, 20)] * 16, 0.5)
    sinkhorn(problem, epsilon=0.05)
    (torch.ones(2000, 2000) + 1).sum()

torch.set_num_threads(2)
for _ in range(2):
    work()
    child = os.fork()
    work()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
COMPILER = sysconfig.get_config_var('CC').split()[0]


needs_library = pytest.mark.skipif(
    library() is None, reason='there is no C compiler'
)


@pytest.fixture
def problem():
    torch.manual_seed(0)
    return MatchingProblem.from_costs([torch.rand(50, 7)], 0.5)


def test_it_was_compiled_where_there_is_a_compiler():
    assert (library() is not None) or shutil.which(COMPILER) is None


@needs_library
def test_it_is_of_the_sources_beside_it():
    assert library().source_hash().decode() == source_hash()


@needs_library
def test_it_reads_plain_tensors_of_the_cpu_alone():
    assert can_read(torch.ones(1))
    assert not can_read(torch.ones(1, device='meta'))
    assert not can_read(torch.ones(1), torch.nn.Parameter(torch.ones(1)))


@needs_library
def test_forks_can_use_several_threads_too():
    """Otherwise a fork waits for threads that only its parent has."""
    if not hasattr(ctypes.CDLL(None), 'omp_pause_resource_all'):
        pytest.skip('the OpenMP of torch cannot end its threads: torch waits')
    subprocess.run([sys.executable, '-c', FORK], timeout=100, check=True)


@pytest.fixture
def _load_again():
    library.cache_clear()
    yield
    library.cache_clear()


@needs_library
@pytest.mark.usefixtures('_load_again')
@pytest.mark.parametrize('reason', ['other sources', 'cannot be loaded'])
def test_a_library_that_does_not_fit_is_left_alone(
    reason, monkeypatch, problem
):
    expected = sinkhorn(problem, epsilon=0.05)
    module = sys.modules[library.__module__]
    if reason == 'other sources':
        monkeypatch.setattr(module, 'source_hash', lambda: 'another')
    else:
        monkeypatch.setattr(ctypes, 'CDLL', _raise)
    library.cache_clear()  # it was needed for what is expected
    with pytest.warns(UserWarning, match=reason):
        assert not can_read(problem.cost)
    plan = sinkhorn(problem, epsilon=0.05)
    torch.testing.assert_close(
        plan.weights, expected.weights, atol=1e-5, rtol=0
    )


def _raise(*_, **__):
    raise OSError('no such thing')


@needs_library
@pytest.mark.usefixtures('_load_again')
@pytest.mark.parametrize('most', LIBRARIES)
def test_plans_do_not_depend_on_the_instructions(most, monkeypatch, problem):
    expected = sinkhorn(problem, epsilon=0.05)
    monkeypatch.setenv('MMDET_UOT_INSTRUCTIONS', most)
    library.cache_clear()
    assert LIBRARIES[most] in library()._name
    plan = sinkhorn(problem, epsilon=0.05)
    torch.testing.assert_close(
        plan.weights, expected.weights, atol=1e-6, rtol=1e-5
    )


@pytest.mark.usefixtures('_load_again')
def test_unknown_instructions_are_refused(monkeypatch):
    monkeypatch.setenv('MMDET_UOT_INSTRUCTIONS', 'sse')
    library.cache_clear()
    with pytest.raises(ValueError, match="must be one of .*, got 'sse'"):
        library()


@pytest.mark.parametrize('threads', [1, 2, 5])
def test_threads_change_nothing(threads, problem):
    before = torch.get_num_threads()
    costs = [torch.rand(30, n) for n in range(9)]
    problem = MatchingProblem.from_costs(costs, 0.5)
    expected = sinkhorn(problem, epsilon=0.05).weights
    try:
        torch.set_num_threads(threads)
        assert torch.equal(sinkhorn(problem, epsilon=0.05).weights, expected)
    finally:
        torch.set_num_threads(before)


@needs_library
def test_the_plan_may_take_the_memory_of_the_cost(problem):
    expected = sinkhorn(problem, epsilon=0.05)
    plan = sinkhorn(problem, epsilon=0.05, overwrite_cost=True)
    assert torch.equal(plan.weights, expected.weights)
    assert plan.weights.data_ptr() == problem.cost.data_ptr()


@pytest.mark.parametrize(
    'background, epsilon', [(-0.5, 0.003), (-1.4, 0.01), (-0.2, 0.002)]
)
def test_soft_masses_may_explode_as_in_float64(background, epsilon):
    """Negative costs are worth more mass than there is."""
    torch.manual_seed(0)
    costs = [torch.zeros(64, 0), background - 0.1 * torch.rand(40, 3)]
    options = dict(epsilon=epsilon, tau1=0.01, tau2=0.01)
    narrow, wide = (
        sinkhorn(
            MatchingProblem.from_costs(
                [cost.to(dtype) for cost in costs], background
            ),
            **options,
        ).weights.double()
        for dtype in (torch.float32, torch.float64)
    )
    torch.testing.assert_close(narrow, wide, rtol=2e-4, atol=1e-5)


def test_weights_beyond_a_float_are_the_greatest():
    problem = MatchingProblem.from_costs([torch.full((4, 1), -3.0)], -3.0)
    plan = sinkhorn(problem, epsilon=0.01, tau1=0.01, tau2=0.0)
    assert (plan.weights == torch.finfo(torch.float32).max).all()


@pytest.mark.parametrize('tau1, tau2', [(100.0, 0.01), (0.01, 0.1)])
def test_potentials_are_those_of_float64(tau1, tau2):
    torch.manual_seed(0)
    costs = [torch.rand(50, 7), 10 * torch.rand(30, 4)]
    options = dict(epsilon=0.0112, tau1=tau1, tau2=tau2)
    narrow, wide = (
        sinkhorn(
            MatchingProblem.from_costs([c.to(dtype) for c in costs], 0.5),
            **options,
        )
        for dtype in (torch.float32, torch.float64)
    )
    for name in ('pred_potential', 'gt_potential'):
        torch.testing.assert_close(
            getattr(narrow, name), getattr(wide, name), rtol=0, atol=1e-5
        )
