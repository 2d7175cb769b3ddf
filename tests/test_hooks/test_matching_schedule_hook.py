"""The numbers follow their course, and the matching follows the numbers."""

import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.registry import HOOKS, MODELS, TASK_UTILS
from mmengine.hub import get_config
from mmengine.logging import MessageHub
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import distributed, nn

from mmdet_uot.assigners import SinkhornAssigner

L1 = dict(type='BBoxL1Cost')
BALANCED = dict(type='SinkhornAssigner', match_costs=L1)
UNBALANCED = dict(type='UOTAssigner', match_costs=L1)
SIDE, ITERS = 100, 3


def image(seed):
    """Predictions, ground truths and metas of a batch of one image."""
    generator = torch.Generator().manual_seed(seed)
    corner, size = SIDE / 2 * torch.rand(2, 16, 2, generator=generator)
    boxes = torch.cat((corner, corner + size), 1)
    preds, gts = (InstanceData(bboxes=part) for part in boxes.split([12, 4]))
    return [preds], [gts], [dict(img_shape=(SIDE, SIDE))]


IMAGES = [image(seed) for seed in range(20)]


class LearnedBoxes(BaseModel):
    """Boxes that are drawn to what they are matched to."""

    def __init__(self, assigner):
        super().__init__()
        self.assigner = TASK_UTILS.build(assigner)
        self.boxes = nn.Parameter(image(seed=99)[0][0].bboxes)
        self.matchers = []

    def forward(self, seed, mode):
        self.matchers.append((self.assigner.mass, self.assigner.solver))
        _, gts, metas = image(*seed)
        preds = [InstanceData(bboxes=self.boxes)]
        plan = self.assigner.match(preds, gts, metas)
        cost = torch.cdist(self.boxes, gts[0].bboxes, p=1) / SIDE
        return dict(loss=(plan.foreground[0] * cost).sum())


@pytest.fixture
def make_runner(tmp_path):
    # Runners of one name share their logs.
    names = (f'{tmp_path}{number}' for number in itertools.count())

    def make(hooks, assigner=BALANCED, epochs=4, wrap=lambda x: x, **options):
        options.setdefault(
            'train_cfg', dict(type='EpochBasedTrainLoop', max_epochs=epochs)
        )
        return Runner(
            model=wrap(LearnedBoxes(assigner)),
            work_dir=str(tmp_path),
            train_dataloader=dict(
                dataset=[dict(seed=seed) for seed in range(ITERS)],
                sampler=dict(type='DefaultSampler', shuffle=False),
                batch_size=1,
            ),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0)),
            custom_hooks=[
                dict(type='MatchingScheduleHook', **hook) for hook in hooks
            ],
            default_scope='mmdet',
            experiment_name=next(names),
            **options,
        )

    return make


def logged(runner, name):
    return runner.message_hub.get_scalar(f'train/{name}').data[0]


COURSES = {
    'linear': np.linspace(0.5, 0.02, 7),
    'exponential': np.geomspace(0.5, 0.02, 7),
    'reciprocal': 1 / np.linspace(2, 50, 7),
    'cosine': 0.26 + 0.24 * np.cos(np.linspace(0, np.pi, 7)),
}


@pytest.mark.parametrize(
    ('shape', 'first', 'last', 'course'),
    [
        *[(shape, 0.5, 0.02, course) for shape, course in COURSES.items()],
        *[(shape, 0.02, 0.5, c[::-1]) for shape, c in COURSES.items()],
        ('linear', 0, 3, np.linspace(0, 3, 7)),
        ('reciprocal', 2, 'inf', [2, 2.4, 3, 4, 6, 12, np.inf]),
        ('reciprocal', 'inf', 2, [np.inf, 12, 6, 4, 3, 2.4, 2]),
    ],
)
def test_courses(shape, first, last, course, make_runner):
    window = dict(begin=2, end=9, by_epoch=False)
    hook = dict(tau2=(first, last), shape=shape, **window)
    runner = make_runner([hook], UNBALANCED)
    runner.train()
    used = [mass.tau2 for mass, _ in runner.model.matchers]
    if used[-1] < np.inf:
        expected = np.array(used)[np.isfinite(used)]
        np.testing.assert_array_equal(logged(runner, 'tau2'), expected)
    else:
        assert 'train/tau2' not in runner.message_hub.log_scalars
    np.testing.assert_allclose(used[2:9], course, rtol=1e-12)
    assert {*used[:3]} == {float(first)}
    assert {*used[8:]} == {float(last)}


@pytest.mark.parametrize('by_epoch', [True, False])
def test_steps_are_counted_as_for_the_learning_rate(by_epoch, make_runner):
    window = dict(begin=0, end=3, by_epoch=by_epoch)
    runner = make_runner(
        [dict(epsilon0=(0.5, 0.1), **window)],
        param_scheduler=dict(
            type='LinearLR', start_factor=0.5, end_factor=0.1, **window
        ),
    )
    runner.train()
    np.testing.assert_allclose(
        logged(runner, 'epsilon0'), logged(runner, 'lr')
    )


@pytest.mark.parametrize(('by_epoch', 'last'), [(True, ITERS), (False, 1)])
def test_without_an_end_it_takes_all_of_training(by_epoch, last, make_runner):
    runner = make_runner([dict(epsilon0=(0.5, 0.1), by_epoch=by_epoch)])
    runner.train()
    values = logged(runner, 'epsilon0')
    assert (values == 0.1).sum() == last
    assert values[0] == 0.5


def test_a_training_of_one_epoch_has_the_first_value(make_runner):
    runner = make_runner([dict(epsilon0=(0.5, 0.1))], epochs=1)
    runner.train()
    assert {*logged(runner, 'epsilon0')} == {0.5}


def test_iterations_without_epochs_are_counted_as_such(make_runner):
    loop = dict(type='IterBasedTrainLoop', max_iters=ITERS)
    hook = dict(epsilon0=(0.5, 0.2))
    by_epoch = make_runner([hook], train_cfg=loop)
    with pytest.raises(ValueError, match='by_epoch=True needs epochs'):
        by_epoch.train()
    by_iteration = make_runner([dict(hook, by_epoch=False)], train_cfg=loop)
    by_iteration.train()
    np.testing.assert_allclose(
        logged(by_iteration, 'epsilon0'), [0.5, 0.35, 0.2]
    )


def test_a_constant_schedule_trains_as_no_hook_does(make_runner):
    plain, constant, falling = (
        make_runner(hooks)
        for hooks in (
            [],
            [dict(epsilon0=(0.12, 0.12), shape='exponential')],
            [dict(epsilon0=(0.12, 0.02), shape='exponential')],
        )
    )
    for runner in (plain, constant, falling):
        runner.train()
    assert torch.equal(plain.model.boxes, constant.model.boxes)
    assert not torch.equal(plain.model.boxes, falling.model.boxes)


def test_a_resumed_training_goes_on_as_if_uninterrupted(make_runner):
    hooks = [
        dict(epsilon0=(0.5, 0.02), shape='exponential', end=5),
        dict(tau2=(0.01, 'inf'), shape='reciprocal', end=15, by_epoch=False),
    ]
    whole = make_runner(hooks, UNBALANCED, epochs=6)
    whole.train()
    stopped = make_runner(hooks, UNBALANCED, epochs=2)
    stopped.train()
    resumed = make_runner(
        hooks,
        UNBALANCED,
        epochs=6,
        resume=True,
        load_from=f'{stopped.work_dir}/epoch_2.pth',
    )
    resumed.train()
    assert len(resumed.model.matchers) == 4 * ITERS
    np.testing.assert_array_equal(
        logged(resumed, 'epsilon0'), logged(whole, 'epsilon0')
    )
    ends = [x.model.assigner.mass for x in (resumed, whole)]
    assert ends[0].tau2 == ends[1].tau2 == float('inf')
    assert torch.equal(resumed.model.boxes, whole.model.boxes)


@pytest.mark.parametrize('shape', ['linear', 'cosine'])
def test_epsilon_may_end_at_the_hungarian_matching(shape, make_runner):
    runner = make_runner([dict(epsilon=(0.5, 0), shape=shape)])
    runner.train()
    hungarian = SinkhornAssigner(match_costs=L1, epsilon=0)
    for arguments in IMAGES:
        plan = runner.model.assigner.match(*arguments)
        assert torch.equal(plan.weights, hungarian.match(*arguments).weights)


def test_a_tiny_epsilon_ends_at_the_hungarian_matching(make_runner):
    runner = make_runner(
        [dict(epsilon0=(0.5, 0.01), shape='exponential')],
        dict(BALANCED, num_iters=500),
    )

    hungarian = SinkhornAssigner(match_costs=L1, epsilon=0)

    def wrong(assigner):
        plans = ((assigner.match(*x), hungarian.match(*x)) for x in IMAGES)
        return sum(
            not torch.equal(plan.one_to_one(), expected.one_to_one())
            for plan, expected in plans
        )

    assert wrong(SinkhornAssigner(match_costs=L1, epsilon0=0.5)) > 0
    runner.train()
    assert wrong(runner.model.assigner) == 0


def test_hard_ground_truths_end_at_the_balanced_plan(make_runner):
    runner = make_runner(
        [dict(tau2=(0.01, 'inf'), shape='reciprocal')],
        dict(UNBALANCED, tau1='inf'),
    )
    runner.train()
    balanced = SinkhornAssigner(match_costs=L1, background_cost=0.5)
    for arguments in IMAGES:
        plan = runner.model.assigner.match(*arguments)
        assert torch.equal(plan.weights, balanced.match(*arguments).weights)


@pytest.fixture
def process_group():
    store = distributed.HashStore()
    distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_a_wrapped_model_is_found(make_runner, process_group):
    runner = make_runner(
        [dict(epsilon0=(0.5, 0.1))], wrap=MMDistributedDataParallel
    )
    runner.train()
    assert runner.model.module.assigner.solver.epsilon0 == 0.1


def run_first_step(hook, model):
    runner = SimpleNamespace(
        model=model,
        train_loop=None,
        max_epochs=4,
        epoch=0,
        iter=0,
        message_hub=MessageHub.get_instance('first step'),
    )
    hook = HOOKS.build(dict(type='MatchingScheduleHook', **hook))
    runner.hooks = [hook]
    hook.before_train(runner)
    hook.before_train_iter(runner, batch_idx=0)


def test_all_assigners_of_all_stages_follow():
    cfg = get_config('mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py')
    cfg.model.train_cfg.rpn.assigner = dict(type='UOTAssigner')
    for stage in (0, 2):
        cfg.model.train_cfg.rcnn[stage].assigner = BALANCED
    for head in cfg.model.roi_head.bbox_head:
        head.fc_out_channels = 8
    model = MODELS.build(cfg.model)
    run_first_step(dict(epsilon0=(0.4, 0.3)), model)
    stages = model.roi_head.bbox_assigner
    for assigner in (model.rpn_head.assigner, stages[0], stages[2]):
        assert assigner.solver.epsilon0 == 0.4
    assert type(stages[1]).__name__ == 'MaxIoUAssigner'
    assert model.rpn_head.assigner.mass.tau2 == 0.01
    assert stages[0].mass.tau2 == float('inf')


TO_EXACT = dict(epsilon=(0.5, 0))


@pytest.mark.parametrize(
    ('hooks', 'message'),
    [
        # Both ends have a matcher, or the last does, but what is between.
        (
            [
                dict(TO_EXACT, end=3),
                dict(tau2=('inf', 2), shape='reciprocal', begin=3),
            ],
            'epoch 5, iteration 1: epsilon=0 with tau1=inf, tau2=',
        ),
        (
            [
                dict(TO_EXACT, begin=2, end=8, by_epoch=False),
                dict(tau2=(0, 1)),
            ],
            'epoch 3, iteration 8: epsilon=0 with tau1=inf, tau2=',
        ),
        ([TO_EXACT, dict(epsilon=(1, 2))], 'several MatchingScheduleHook'),
    ],
)
def test_all_hooks_are_checked_for_every_step(hooks, message, make_runner):
    runner = make_runner(hooks, dict(UNBALANCED, tau1='inf'), epochs=6)
    with pytest.raises(ValueError, match=re.escape(message)):
        runner.train()
    assert runner.iter == 0


def test_numbers_of_several_hooks_change_at_once(make_runner):
    # One after the other, there is no matcher between the last two epochs.
    exact = [TO_EXACT, dict(tau2=(1, 0))]
    for hooks in (exact, exact[::-1]):
        runner = make_runner(hooks, dict(UNBALANCED, tau1='inf'))
        runner.train()
        assigner = runner.model.assigner
        assert assigner.solver.is_exact and assigner.mass.tau2 == 0


def test_what_stays_infinite_is_scheduled(make_runner):
    hook = dict(tau2=('inf', 'inf'), shape='reciprocal')
    runner = make_runner([hook], dict(UNBALANCED, tau1='inf'))
    runner.train()
    assert {mass.tau2 for mass, _ in runner.model.matchers} == {float('inf')}


@pytest.mark.parametrize(
    ('assigner', 'hook', 'message'),
    [
        (BALANCED, dict(tau2=(1, 2)), "preset='balanced' fixes tau2"),
        (dict(BALANCED, epsilon=0), dict(epsilon0=(1, 2)), 'fixes epsilon0'),
        (
            dict(BALANCED, epsilon=0.1),
            dict(epsilon0=(1, 2)),
            'give epsilon or epsilon0, not both: got epsilon=0.1',
        ),
        (
            dict(UNBALANCED, epsilon=0, tau1='inf', tau2=0),
            dict(tau2=(0, 1)),
            'epoch 2, iteration 1: epsilon=0 with tau1=inf, tau2=0.33',
        ),
        (UNBALANCED, dict(epsilon=(1, 0)), 'has no exact matcher'),
        (UNBALANCED, dict(epsilon0=(1, 0)), 'epsilon0 must be positive'),
        (
            dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5),
            dict(tau2=(1, 2)),
            'needs a UOTAssigner or SinkhornAssigner, but the model has none',
        ),
    ],
)
def test_what_cannot_be_scheduled_is_an_error(assigner, hook, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        run_first_step(hook, LearnedBoxes(assigner))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(), 'nothing to schedule; give one of epsilon, epsilon0, tau1'),
        (dict(tau1=3), 'tau1 must be (first value, last value), got 3'),
        (dict(tau1=(1, 2, 3)), '(first value, last value), got (1, 2, 3)'),
        (
            dict(tau2=('a', 2)),
            'tau2 must be (first value, last value)',
        ),
        (dict(tau2=(1, 2), shape='step'), "shape must be one of ('linear'"),
        (
            dict(tau2=(1, 'inf')),
            "shape='linear' does not take tau2 from 1.0 to inf; only",
        ),
        (dict(tau2=(0, 1), shape='exponential'), 'take tau2 from 0.0 to 1.0'),
        (dict(tau2=(0, 1), shape='reciprocal'), 'take tau2 from 0.0 to 1.0'),
        (dict(tau1=(-1, 1)), 'none takes less than 0'),
        (
            dict(tau2=(1, 2), begin=2, end=3),
            'end must be at least begin + 2, got begin=2 and end=3;',
        ),
        (dict(epsilon=(float('nan'), 1)), 'take epsilon from nan to 1.0'),
    ],
    ids=str,
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        HOOKS.build(dict(type='MatchingScheduleHook', **options))


def test_ground_truths_ask_for_less_and_less(make_runner):
    runner = make_runner([dict(gt_mass=(4, 1))])
    runner.train()
    masses = [mass.gt_mass for mass, _ in runner.model.matchers[::ITERS]]
    assert masses == [4, 3, 2, 1]
