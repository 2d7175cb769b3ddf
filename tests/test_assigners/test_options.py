"""What assigners accept, and what they say of the rest."""

import re
from pathlib import Path

import numpy as np
import pytest
from mmdet.evaluation import bbox_overlaps
from mmdet.registry import TASK_UTILS
from mmengine.config import Config

from mmdet_uot.assigners import SinkhornAssigner, UOTAssigner

CONFIGS = Path(__file__).parents[2] / 'configs'
IOU = dict(type='OneMinusIoUCost')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(tau1=-1), "tau1 must be a number in [0, inf] or 'inf', got -1"),
        (dict(tau2=-0.1), 'tau2 must be a number in [0, inf]'),
        (dict(tau1='all'), "got 'all'"),
        (dict(tau2=float('nan')), 'tau2 must be a number in [0, inf]'),
        (dict(tau1=[1.0]), 'got [1.0]'),
        (dict(epsilon=-0.1), 'epsilon must be positive and finite, got -0.1'),
        (dict(epsilon='small'), "positive and finite, got 'small'"),
        (dict(epsilon=float('inf')), 'epsilon must be positive and finite'),
        (dict(epsilon=float('nan')), 'epsilon must be positive and finite'),
        (dict(epsilon0=0), 'epsilon0 must be positive and finite, got 0'),
        (dict(epsilon0=-1.0), 'epsilon0 must be positive and finite'),
        (
            dict(epsilon=0.1, epsilon0=0.1),
            'give epsilon or epsilon0, not both: got epsilon=0.1',
        ),
        (dict(epsilon=0), 'epsilon=0 with tau1=100.0, tau2=0.01 has no exact'),
        (dict(epsilon=0, tau1='inf'), 'use one of (tau1, tau2) = [(inf, inf)'),
        (dict(epsilon=0, tau1=0, tau2=0), 'or epsilon > 0'),
        (dict(epsilon_rule='log'), "epsilon_rule must be one of ('log_2n',"),
        (dict(num_iters=0), 'num_iters must be a whole number of at least 1'),
        (dict(num_iters=2.5), 'got 2.5'),
        (dict(num_iters='20'), "got '20'"),
        (
            dict(cost_scaling='max'),
            "'image_max', 'batch_max', 'none'), got",
        ),
        (dict(cost_scaling=0), 'cost_scaling must be positive and finite'),
        (dict(cost_scaling=-1.0), 'or one of ('),
        (dict(hard_view='best'), "hard_view must be one of ('best_ground_tr"),
        (dict(background_cost=[]), 'must be a finite number, one per'),
        (dict(background_cost='0.5'), "got '0.5'"),
        (dict(background_cost=float('nan')), 'got nan'),
        (dict(background_cost=[0.5, float('inf')]), 'got [0.5, inf]'),
        (dict(match_costs=[]), 'match_costs must name at least one cost'),
        (dict(preset='Hungarian'), "preset must be one of ('hungarian'"),
        (dict(preset='hungarian', tau1=1.0), "preset='hungarian' fixes tau1"),
        (dict(preset='hungarian', epsilon=0.1), 'fixes epsilon'),
    ],
    ids=str,
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        UOTAssigner(**options)


@pytest.mark.parametrize('option', ['background', 'eps', 'reg', 'cost'])
@pytest.mark.parametrize('assigner', [UOTAssigner, SinkhornAssigner])
def test_misspelt_options_are_errors(assigner, option):
    with pytest.raises(TypeError, match=option):
        assigner(match_costs=IOU, **{option: 1})


@pytest.mark.parametrize(
    'config, hint',
    [
        (dict(type='UOTAssigner', taul=1), 'did you mean .*tau1'),
        (dict(type='SinkhornAssigner', num_iter=9), 'did you mean num_iters'),
        (dict(type='MatchingCost', background=1), 'mean background_cost'),
        (dict(type='OneMinusIoUCost', mode='giou'), 'did you mean iou_mode'),
    ],
    ids=str,
)
def test_near_options_are_named(config, hint):
    with pytest.raises(TypeError, match=hint):
        TASK_UTILS.build(config)


@pytest.mark.parametrize('option', ['tau1', 'tau2', 'preset'])
def test_the_balanced_assigner_has_no_unbalanced_options(option):
    with pytest.raises(TypeError, match=option):
        SinkhornAssigner(match_costs=IOU, **{option: 1.0})


def test_background_per_prediction_must_fit(draw):
    assigner = UOTAssigner(background_cost=[0.5, 0.5])
    message = re.escape('one per prediction (4), got shape (2,)')
    with pytest.raises(ValueError, match=message):
        assigner.match([draw.anchors(4)], [draw.gts(1)])


def test_background_per_prediction_is_a_threshold_for_each(draw):
    anchors, gts = draw.anchors(300), draw.gts(20)
    cost = 1 - bbox_overlaps(anchors.priors.numpy(), gts.bboxes.numpy())
    closest = cost.argmin(1) + 1
    background = 0.4 + 0.6 * draw.rand(300).numpy()
    for thresholds in (background, np.full(300, 0.7)):
        expected = np.where(cost.min(1) < thresholds, closest, 0)
        assert 0 < np.count_nonzero(expected) < 300
        assigner = UOTAssigner(
            epsilon=0, tau1='inf', tau2=0, background_cost=thresholds.tolist()
        )
        result = assigner.assign(anchors, gts)
        np.testing.assert_array_equal(result.gt_inds, expected)


@pytest.mark.parametrize(
    'options', [dict(), dict(preset='closest_ground_truth')], ids=str
)
def test_one_background_for_all_may_be_written_as_many(options, draw):
    anchors, gts = draw.anchors(30), draw.gts(4)
    number, sequence = (
        UOTAssigner(background_cost=cost, **options).match([anchors], [gts])
        for cost in (0.7, [0.7] * 30)
    )
    assert number.weights.equal(sequence.weights)


def test_runs_of_predictions_may_share_a_background(draw):
    anchors, gts = draw.anchors(30), draw.gts(4)
    runs, sequence = (
        UOTAssigner(background_cost=cost).match([anchors], [gts])
        for cost in ([(0.7, 20), [0.4, 10]], [0.7] * 20 + [0.4] * 10)
    )
    assert runs.weights.equal(sequence.weights)


def test_background_per_level_fits_the_anchors():
    cfg = Config.fromfile(CONFIGS / 'ssd300_uot_level_background_cpu.py')
    generator = TASK_UTILS.build(cfg.model.bbox_head.anchor_generator)
    sizes = [(side, side) for side in (38, 19, 10, 5, 3, 1)]
    levels = generator.grid_priors(sizes, device='cpu')
    assert cfg.model.train_cfg.assigner.background_cost == [
        (0.6, len(levels[0])),
        (0.5, sum(map(len, levels[1:]))),
    ]


@pytest.mark.parametrize('infinity', ['inf', 'Inf', float('inf')])
def test_infinity_may_be_written_as_text(infinity, draw):
    anchors, gts = draw.anchors(10), draw.gts(2)
    options = dict(match_costs=IOU, background_cost=0.0)
    written = UOTAssigner(tau1=infinity, tau2=infinity, **options)
    balanced = SinkhornAssigner(**options)
    assert written.match([anchors], [gts]).weights.equal(
        balanced.match([anchors], [gts]).weights
    )


@pytest.mark.parametrize(
    'config',
    [
        dict(type='UOTAssigner'),
        dict(type='UOTAssigner', tau1='inf', tau2=0.5, match_costs=[IOU, IOU]),
        dict(type='UOTAssigner', background_cost=[0.5] * 10),
        dict(type='UOTAssigner', preset='softmax_over_predictions'),
        dict(type='SinkhornAssigner', match_costs=IOU, epsilon=0),
        dict(type='mmdet.SinkhornAssigner', match_costs=[IOU], epsilon0=0.2),
    ],
    ids=str,
)
def test_config_survives_a_file(config, tmp_path, draw):
    path = str(tmp_path / 'assigner.py')
    Config(dict(assigner=config)).dump(path)
    reloaded = Config.fromfile(path).assigner
    anchors, gts = draw.anchors(10), draw.gts(2)
    plans = [
        TASK_UTILS.build(c).match([anchors], [gts]).weights
        for c in (config, reloaded)
    ]
    assert plans[0].equal(plans[1])
