"""The compiled library: that it is there, and that it can be done without."""

import ctypes
import shutil
import sys
import sysconfig

import pytest
import torch

from mmdet_uot.native import can_read, library
from mmdet_uot.native.sources import source_hash
from mmdet_uot.ot import MatchingProblem, sinkhorn

COMPILER = sysconfig.get_config_var('CC').split()[0]


@pytest.fixture
def problem():
    torch.manual_seed(0)
    return MatchingProblem.from_costs([torch.rand(50, 7)], 0.5)


def test_it_was_compiled_where_there_is_a_compiler():
    assert (library() is not None) or shutil.which(COMPILER) is None


def test_it_is_of_the_sources_beside_it():
    assert library().source_hash().decode() == source_hash()


def test_it_reads_plain_tensors_of_the_cpu_alone():
    assert can_read(torch.ones(1))
    assert not can_read(torch.ones(1, device='meta'))
    assert not can_read(torch.ones(1), torch.nn.Parameter(torch.ones(1)))


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
    library.cache_clear()
    with pytest.warns(UserWarning, match=reason):
        assert not can_read(problem.cost)
    plan = sinkhorn(problem, epsilon=0.05)
    torch.testing.assert_close(
        plan.weights, expected.weights, atol=1e-5, rtol=0
    )
    monkeypatch.undo()
    library.cache_clear()
    assert can_read(problem.cost)


def _raise(*_):
    raise OSError('no such thing')


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


def test_the_plan_may_take_the_memory_of_the_cost(problem):
    expected = sinkhorn(problem, epsilon=0.05)
    plan = sinkhorn(problem, epsilon=0.05, overwrite_cost=True)
    assert torch.equal(plan.weights, expected.weights)
    assert plan.weights.data_ptr() == problem.cost.data_ptr()
