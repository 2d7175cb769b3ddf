"""The runs are those of the paper, and their options do something."""

import math

import pytest
from mmdet.registry import TASK_UTILS
from mmengine.registry import DefaultScope
from reproduction.catalogue import ITERATIONS, TRAININGS
from reproduction.job import load_config
from reproduction.runs import SCALES

from mmdet_uot.assigners import PlanAssigner

pytestmark = pytest.mark.slow

INF = math.inf


def assigner_of(run, scale):
    cfg = load_config(run, scale, run.options)
    with DefaultScope.overwrite_default_scope('mmdet'):
        return TASK_UTILS.build(cfg.model.train_cfg.assigner)


def settings(name, scale):
    """(type, tau1, tau2, iterations) of the assigner of each row."""
    found = []
    for row in TRAININGS[name].at(scale):
        assigner = assigner_of(row.run, scale)
        kind = type(assigner).__name__
        numbers = ()
        if isinstance(assigner, PlanAssigner):
            mass, solver = assigner.mass, assigner.solver
            numbers = mass.tau1, mass.tau2, solver.num_iters
        found.append((kind, *numbers))
    return found


@pytest.mark.parametrize('scale', SCALES)
def test_table_2_goes_from_the_two_stages_to_balanced(scale):
    assert settings('table2', scale) == [
        ('MaxIoUAssigner',),
        ('MaxIoUAssigner',),
        *(('UOTAssigner', 100, tau2, 20) for tau2 in (0.01, 0.1, 1, 10)),
        ('SinkhornAssigner', INF, INF, 20),
    ]


@pytest.mark.parametrize('scale', SCALES)
def test_table_3_varies_tau1_with_tau2_fixed(scale):
    assert settings('table3', scale) == [
        *(('UOTAssigner', tau1, 100, 20) for tau1 in (0.01, 0.1, 1, 10)),
        ('SinkhornAssigner', INF, INF, 20),
    ]


def test_fig_14_varies_the_iterations_alone():
    unbalanced = [('UOTAssigner', 100, 0.01, count) for count in ITERATIONS]
    assert settings('fig14', 'cpu') == unbalanced
    assert settings('fig14', 'paper') == unbalanced + [
        ('SinkhornAssigner', INF, INF, count) for count in ITERATIONS
    ]


@pytest.mark.parametrize(
    'scale, factors',
    [('cpu', (1 / 8, 1 / 4, 1 / 2, 1, 2, 4)), ('paper', (1 / 2, 1, 2, 4))],
)
def test_matchings_have_the_same_learning_rates(scale, factors):
    rates = [
        load_config(row.run, scale, row.run.options).optim_wrapper.optimizer.lr
        for row in TRAININGS['learning_rates'].at(scale)
    ]
    base = load_config(TRAININGS['table2'].rows[0].run, scale, {})
    lr = base.optim_wrapper.optimizer.lr
    assert rates == 3 * [lr * factor for factor in factors]
    assert settings('learning_rates', scale) == [
        *len(factors) * [('MaxIoUAssigner',)],
        *len(factors) * [('UOTAssigner', 100, 0.01, 20)],
        *len(factors) * [('SinkhornAssigner', INF, INF, 20)],
    ]


@pytest.mark.parametrize('name', ['fig5', 'table1'])
@pytest.mark.parametrize('scale', SCALES)
def test_matchings_are_what_their_rows_say(name, scale):
    kinds = {
        'OT': 'SinkhornAssigner',
        'Hungarian': 'HungarianAssigner',
        'two-stage': 'MaxIoUAssigner',
        'unbalanced OT': 'UOTAssigner',
    }
    rows = TRAININGS[name].at(scale)
    for row, (kind, *_) in zip(rows, settings(name, scale)):
        assert kind == kinds[row.cells[-1].split(',')[0]], row


@pytest.mark.parametrize('scale', SCALES)
def test_data_and_model_are_what_rows_of_table_1_say(scale):
    for row in TRAININGS['table1'].at(scale):
        cfg = load_config(row.run, scale, row.run.options)
        data, model, _ = row.cells
        classes = dict(zip(('COCO', 'Color Boxes'), (80, 20)))
        assert cfg.model.bbox_head.num_classes == classes[data]
        found = cfg.model.type.replace('SingleStageDetector', 'SSD300')
        assert found == model.replace(' ', '')


def test_a_name_stands_for_one_training():
    named = {}
    for experiment in TRAININGS.values():
        for row in experiment.rows:
            run = named.setdefault(row.run.name, row.run)
            assert (run.config, run.options) == (
                row.run.config,
                row.run.options,
            )
    trainings = {(run.config, *run.options.items()) for run in named.values()}
    assert len(trainings) == len(named)


@pytest.mark.parametrize('scale', SCALES)
def test_the_head_alone_is_that_of_mmdet(scale):
    ours, theirs = (row.run for row in TRAININGS['table2'].rows[:2])
    trained = [load_config(run, scale, run.options) for run in (ours, theirs)]
    heads = [cfg.model.bbox_head.pop('type') for cfg in trained]
    assert heads == ['UOTSSDHead', 'SSDHead']
    assert (
        trained[1].train_cfg.pop('val_begin') > trained[0].train_cfg.max_epochs
    )
    assert trained[0].to_dict() == trained[1].to_dict()
    for name, options in theirs.evaluations.items():
        tested = load_config(theirs, scale, {**theirs.options, **options})
        assert tested.model.bbox_head.type == 'UOTSSDHead'
        nms = load_config(ours, scale, ours.evaluations[name])
        assert tested.model.test_cfg == nms.model.test_cfg


def test_evaluations_differ_in_nms_alone():
    run = TRAININGS['table2'].rows[0].run
    with_nms = load_config(run, 'cpu', run.evaluations['nms'])
    without = load_config(run, 'cpu', run.evaluations['no_nms'])
    assert without.model.test_cfg.pop('nms') is None
    assert with_nms.model.test_cfg.pop('nms') is not None
    assert with_nms.to_dict() == without.to_dict()
    assert with_nms.model.test_cfg.max_per_img == 200
