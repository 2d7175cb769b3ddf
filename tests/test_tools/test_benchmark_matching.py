"""The competitors solve the same problem, and every result is written."""

import json
import sys
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from benchmarking import timing
from benchmarking.algorithm import accuracy, scaling_algorithm
from benchmarking.cases import WORKLOADS, draw_case
from benchmarking.competitors import HUNGARIAN, OURS, SOLVERS, calls
from benchmarking.memory import peak_memory, process_peak
from benchmarking.task import random_task
from benchmarking.training_step import MATCHINGS, TrainingStep
from helpers.tools import load_tool
from mmdet.registry import TASK_UTILS

from mmdet_uot.ot import hungarian, sinkhorn, two_stage

pytestmark = pytest.mark.slow

IMAGES = 2
CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def cases():
    return {name: draw_case(name, num_images=IMAGES) for name in WORKLOADS}


@pytest.fixture(params=['ssd300', 'detr'])
def case(request, cases):
    """An unbalanced and a balanced one; the first image has no objects."""
    return cases[request.param]


@pytest.mark.parametrize(
    'name, problems, num_preds, taus',
    [
        ('ssd300', IMAGES, 8_732, (100.0, 0.01)),
        ('ssd512', IMAGES, 24_564, (100.0, 0.01)),
        ('detr', 6 * IMAGES, 100, (torch.inf, torch.inf)),
        ('deformable', 6 * IMAGES, 300, (torch.inf, torch.inf)),
        ('dino', 6 * IMAGES, 900, (torch.inf, torch.inf)),
        ('retinanet', IMAGES, 200_700, (100.0, 0.01)),
    ],
)
def test_workloads_are_the_configs(name, problems, num_preds, taus, cases):
    task = cases[name].task
    assert task.problem.cost.shape[:2] == (problems, num_preds)
    assert (task.tau1, task.tau2) == taus
    assert task.num_iters == 20


def test_ours_is_the_printed_algorithm(case):
    ours = SOLVERS[OURS].prepare(case.task)().weights
    printed = scaling_algorithm(case.task, torch.float64)
    torch.testing.assert_close(ours.double(), printed, atol=1e-4, rtol=0)
    error = (ours - printed).abs().max().item()
    assert accuracy(case.task)['ours'] == error


def test_pot_converges_to_the_same_plan(case):
    task = replace(case.task, num_iters=500)
    plans = SOLVERS['POT, by image'].prepare(task)()
    ours = sinkhorn(task.problem, **task.numbers)
    for plan, weights, gt_mass in zip(plans, ours.weights, ours.gt_mass):
        torch.testing.assert_close(
            len(plan) * plan, weights[:, gt_mass > 0], atol=1e-4, rtol=0
        )


def test_scipy_and_hungarian_assigner_find_the_exact_plan(cases):
    case = cases['detr']
    problem = case.task.problem
    cost = problem.cost[..., :-1]
    exact = (hungarian(problem).foreground * cost).sum((1, 2))
    scipy = SOLVERS[HUNGARIAN].prepare(case.task)()
    mmdet = case.calls['HungarianAssigner, by image']()
    assert len(scipy) == len(mmdet) == len(cost) == 6 * IMAGES
    for image in range(len(cost)):
        rows, columns = map(torch.from_numpy, scipy[image])
        torch.testing.assert_close(
            cost[image, rows, columns].sum(), exact[image]
        )
        rows = mmdet[image].gt_inds.nonzero()[:, 0]
        columns = mmdet[image].gt_inds[rows] - 1
        torch.testing.assert_close(
            cost[image, rows, columns].sum(), exact[image]
        )


def test_max_iou_assigner_matches_the_same_boxes(cases):
    case = cases['ssd300']
    results = case.calls['MaxIoUAssigner, by image']()
    plan = two_stage(case.task.problem).best_ground_truth()
    assert torch.equal(torch.stack([r.gt_inds for r in results]), plan + 1)


def test_our_assigner_is_costs_then_solve(case):
    name = next(iter(case.calls))
    problem = case.calls[f'{name}, costs alone']()
    assert torch.equal(problem.cost, case.task.problem.cost)
    plan = sinkhorn(problem, **case.task.numbers)
    assert torch.equal(case.calls[name]().weights, plan.weights)


def test_who_is_not_installed_is_named_absent():
    versions = timing.environment(CPU, 1)
    task = random_task(1, 6, 2)
    ran = {name for name, call in calls(task)}
    for name, solver in SOLVERS.items():
        installed = find_spec(solver.package) is not None
        assert (name in ran) == installed
        assert (versions[solver.package] != 'absent') == installed
    one_tau = [name for name in SOLVERS if SOLVERS[name].balanced_only]
    unbalanced = replace(task, tau2=0.01)
    assert not {name for name, call in calls(unbalanced)} & {*one_tau}


@pytest.mark.parametrize(
    'call, peak',
    [
        (lambda: None, 0),
        (lambda: torch.empty(1000), 4000),
        (lambda: (torch.empty(1000), torch.empty(500)), 6000),
        (lambda: [torch.empty(1000).sum() for _ in range(3)], 4000 + 3 * 4),
        (lambda: torch.empty(1000)[:10].clone(), 4000 + 40),
    ],
)
def test_peak_memory_is_exact(call, peak):
    assert peak_memory(call, CPU) == peak


@pytest.mark.skipif(sys.platform != 'linux', reason='asks /proc')
def test_the_peak_of_the_process_counts_all_memory():
    size = 64 * 2**20
    grown = process_peak(lambda: np.ones(size, np.uint8).sum())
    assert 0.99 * size < grown < 1.1 * size


@pytest.fixture(scope='module')
def step(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('color_boxes')
    return TrainingStep(str(folder), num_images=2)


@pytest.mark.parametrize('matching', MATCHINGS)
def test_phases_make_up_the_training_step(matching, step):
    phases = step.phases(MATCHINGS[matching])
    losses, gradients = phases['losses'](), phases['backward']()
    step.head.assigner = TASK_UTILS.build(MATCHINGS[matching])
    expected = step.head.loss_by_feat(*step.outputs, step.gts, step.metas)
    # Without the phases some plans are pairs, whose losses are summed in
    # another order.
    torch.testing.assert_close(losses, expected, rtol=1e-6, atol=0)
    total, _ = step.model.parse_losses(expected)
    torch.testing.assert_close(
        gradients,
        torch.autograd.grad(total, step.parameters, retain_graph=True),
    )


@pytest.fixture(scope='module')
def tool():
    return load_tool('benchmark_matching')


@pytest.mark.slow
def test_tool_writes_all_results(tool, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(timing, '_REPEAT_SECONDS', 0.0)
    sizes = partial(tool.time_growth, num_preds=(20, 40))
    monkeypatch.setattr(tool, 'time_growth', sizes)
    options = '--workloads deformable detr --images 2 --objects 5 --threads 1'
    options += f' --repeats 1 --json {tmp_path}/x.json --figures {tmp_path}/f'
    tool.main(options.split())
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / 'x.json').read_text())
    assert list(results['workloads']) == ['deformable', 'detr']
    for workload in results['workloads'].values():
        assert workload['size'][0] == 12
        assert workload['size'][2] <= 6
        assert workload['accuracy']['ours'] < 1e-4
        plain, relaxed = workload['unconverged'][-2:]
        assert 0 < relaxed['mean'] < plain['mean'] <= plain['worst'] < 1
        assert workload['peak_bytes'] > workload['cost_matrix_bytes'] > 0
        for block in (workload['solve'], workload['costs_and_solve']):
            for row in block:
                assert row['name'] in printed
                assert row['ratio'] == row['ms'] / block[0]['ms']
                assert row['lower_ms'] <= row['ms'] <= row['upper_ms']
    growth = [(p['num_objects'], p['num_preds']) for p in results['growth']]
    expected = [(M, N) for M in (10, 30, 100) for N in (20, 40)]
    assert growth == [size for size in expected for solver in range(2)]
    phases = {row['name']: row['times'] for row in results['training_step']}
    assert ' '.join(phases) == (
        'data anchors forward costs matching losses backward'
    )
    assert all(times.keys() == MATCHINGS.keys() for times in phases.values())
    for name in ('time_by_predictions', 'training_step'):
        picture = (tmp_path / 'f' / f'{name}.png').read_bytes()
        assert picture.startswith(b'\x89PNG')


@pytest.mark.parametrize(
    'options, words',
    [
        ('--workloads yolo', ['yolo', *WORKLOADS]),
        ('--repeats 0', ['--repeats', 'at least 1']),
        ('--device cuda', ['no GPU', '--device cpu']),
    ],
)
def test_wrong_options(options, words, tool, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit):
        tool.main(options.split())
    error = capsys.readouterr().err
    assert all(word in error for word in words)


def test_unknown_workload():
    with pytest.raises(ValueError, match='ssd300.*yolo'):
        draw_case('yolo')
