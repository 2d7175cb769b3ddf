"""A cost, masses, a solver and a view, each from its own config."""

import re

import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmengine.config import Config

from mmdet_uot.assigners import PRESETS, PlanAssigner, UOTAssigner

IOU = dict(type='OneMinusIoUCost')
HARD = dict(tau1='inf', tau2='inf')
# Parts, and the flat options that ask for the same.
SAME = {
    'the default': (dict(), dict()),
    'a cost': (
        dict(cost=dict(match_costs=IOU, background_cost=0.7)),
        dict(match_costs=IOU, background_cost=0.7),
    ),
    'masses': (
        dict(mass=dict(tau1=1.0, tau2='inf')),
        dict(tau1=1, tau2='inf'),
    ),
    'a solver': (
        dict(solver=dict(epsilon0=0.3, epsilon_rule='log_n', num_iters=7)),
        dict(epsilon0=0.3, epsilon_rule='log_n', num_iters=7),
    ),
    'relaxation': (
        dict(mass=HARD, solver=dict(relaxation=1.8, tol=1e-3)),
        dict(**HARD, relaxation=1.8, tol=1e-3),
    ),
    'an exact solver': (
        dict(mass=HARD, solver=dict(type='ExactSolver')),
        dict(preset='hungarian'),
    ),
    'two stages': (
        dict(
            mass=dict(tau1='inf', tau2=0),
            solver=dict(type='TwoStageSolver'),
        ),
        dict(preset='ssd_two_stage'),
    ),
    'dual softmax': (
        dict(
            mass=HARD,
            solver=dict(type='DualSoftmaxSolver', epsilon=0.5),
            view=dict(hard_view='best_ground_truth'),
        ),
        dict(preset='dual_softmax', epsilon=0.5),
    ),
    'a view': (
        dict(view=dict(hard_view='best_prediction')),
        dict(hard_view='best_prediction'),
    ),
}


@pytest.mark.parametrize('name', SAME)
def test_parts_are_what_flat_options_translate_to(name, draw, tmp_path):
    parts, options = SAME[name]
    config = dict(type='PlanAssigner', **parts)
    path = str(tmp_path / 'assigner.py')
    Config(dict(assigner=config)).dump(path)
    ours = TASK_UTILS.build(Config.fromfile(path).assigner)
    flat = UOTAssigner(**options)
    anchors, gts = draw.anchors(40), draw.gts(5)
    plans = [x.match([anchors], [gts]).weights for x in (ours, flat)]
    assert torch.equal(*plans)
    results = [x.assign(anchors, gts).gt_inds for x in (ours, flat)]
    assert torch.equal(*results)


def test_objects_are_taken_as_they_are():
    flat = UOTAssigner(tau2=0.5)
    parts = dict(
        cost=flat.cost, mass=flat.mass, solver=flat.solver, view=flat.view
    )
    assigner = PlanAssigner(**parts)
    for name, part in parts.items():
        assert getattr(assigner, name) is part


@pytest.mark.parametrize(
    'parts, message',
    [
        (dict(solver=dict(type='ExactSolver')), 'has no exact matcher'),
        (dict(mass=dict(tau1=-1)), 'tau1 must be a number in [0, inf]'),
        (dict(solver=dict(num_iters=0)), 'num_iters must be a whole number'),
        (dict(solver=dict(epsilon=0)), 'epsilon must be positive and finite'),
        (dict(view=dict(hard_view='any')), 'hard_view must be one of'),
        (dict(memory_budget=0), 'memory_budget must be a positive number'),
    ],
    ids=str,
)
def test_wrong_parts_are_named(parts, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        PlanAssigner(**parts)


def test_numbers_move_all_or_none():
    assigner = PlanAssigner(mass=HARD)
    assigner.set_numbers(tau2=0.1, epsilon0=0.4)
    assert (assigner.mass.tau2, assigner.solver.epsilon0) == (0.1, 0.4)
    for numbers, message in (
        (dict(tau1=1.0, num_iters=0), 'num_iters'),
        (dict(tau1=-1.0), 'tau1'),
        (dict(momentum=1.0), 'ScalingSolver takes no momentum'),
    ):
        with pytest.raises(ValueError, match=message):
            assigner.set_numbers(**numbers)
    assert (assigner.mass.tau1, assigner.mass.tau2) == (float('inf'), 0.1)


@pytest.mark.parametrize('name', PRESETS)
def test_presets_are_values(name):
    preset, assigner = PRESETS[name], UOTAssigner(preset=name)
    assert assigner.solver == preset.solver
    assert (assigner.mass.tau1, assigner.mass.tau2) == (
        preset.tau1,
        preset.tau2,
    )
    assert assigner.view.hard_view == preset.view
