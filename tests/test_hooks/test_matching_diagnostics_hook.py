"""The diagnostics tell the truth, and the training does not notice.

As a script, this file is one of two processes that train together.
"""

import json
import math
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from itertools import count, product
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmdet.models.task_modules.assigners.match_cost import BaseMatchCost
from mmdet.registry import HOOKS, MODELS, OPTIM_WRAPPERS, TASK_UTILS
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint

from mmdet_uot.hooks import matching_diagnostics_hook
from mmdet_uot.matched_images import summary as matching_images
from mmdet_uot.matched_images import timer as matching_timer
from mmdet_uot.matched_images.record import record_matching
from mmdet_uot.matched_images.samples import load_dataset
from mmdet_uot.matched_images.timer import MatchingTimer
from mmdet_uot.visualization import draw_matching, draw_plan, read_log, to_rgb

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / 'configs'
HOOK = dict(type='MatchingDiagnosticsHook', num_images=5)
NUMBERS = (
    'one_to_one',
    'foreground_mass',
    'entropy',
    'support',
    'marginal_error',
    'instability',
    'bad_costs',
    'time_share',
)
IMAGES, BATCH, EPOCHS = 8, 4, 3

# With dropout, shuffling and flips, so that random numbers count.
DIMS = 16
ATTENTION = dict(embed_dims=DIMS, num_heads=2, dropout=0.3)
LAYER = dict(
    self_attn_cfg=ATTENTION,
    ffn_cfg=dict(embed_dims=DIMS, feedforward_channels=DIMS, ffn_drop=0.3),
)
DETR = dict(
    num_queries=12,
    backbone=dict(base_channels=4),
    neck=dict(in_channels=[16], out_channels=DIMS),
    encoder=dict(num_layers=1, layer_cfg=LAYER),
    decoder=dict(
        num_layers=2, layer_cfg=dict(LAYER, cross_attn_cfg=ATTENTION)
    ),
    positional_encoding=dict(num_feats=DIMS // 2),
    bbox_head=dict(embed_dims=DIMS),
)
CHANNELS = (8, 16, 8, 8, 8, 8)
SSD = dict(
    backbone=dict(base_channels=4),
    neck=dict(in_channels=CHANNELS[:2], out_channels=CHANNELS),
    bbox_head=dict(in_channels=CHANNELS),
)
STOCK = dict(type='DETRHead', loss_cls=dict(class_weight=1.0))
MODELS_OF = {
    'DETR': ('detr_ot_cpu', DETR),
    'stock DETR': (
        'detr_hungarian_cpu',
        dict(DETR, bbox_head=dict(DETR['bbox_head'], **STOCK)),
    ),
    'SSD': ('ssd300_uot_cpu', SSD),
}


@TASK_UTILS.register_module()
class BadForOddImages(BaseMatchCost):
    """One entry that is no number in images of odd names."""

    def __call__(self, pred_instances, gt_instances, img_meta=None, **kwargs):
        cost = torch.zeros(len(pred_instances), len(gt_instances))
        if is_odd(img_meta['img_path']):
            cost[:1, :1] = math.nan
        return cost


def is_odd(path):
    return int(Path(path).stem) % 2 == 1


def config(root, name, hooks, **options):
    """A config of a training that takes a second or two."""
    base, model = MODELS_OF[name]
    cfg = Config.fromfile(CONFIGS / f'{base}.py')
    cfg.merge_from_dict(dict(model=model))
    data = dict(
        data_root=f'{root}/data',
        num_images=IMAGES,
        image_size=(100, 80),
        side_range=(8.0, 30.0),
        max_objects=4,
    )
    scale = (300, 300) if name == 'SSD' else (100, 80)
    load, boxes, resize, pack = (
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='Resize', scale=scale, keep_ratio=False),
        # Those of mmdet's testing pipelines: mmdet 3.1 asks for a flip else.
        dict(
            type='PackDetInputs',
            meta_keys=(
                'img_id',
                'img_path',
                'ori_shape',
                'img_shape',
                'scale_factor',
            ),
        ),
    )
    flip = dict(type='RandomFlip', prob=0.5)
    for split, pipeline in (
        ('train', [load, boxes, resize, flip, pack]),
        ('val', [load, resize, boxes, pack]),
    ):
        loader = cfg[f'{split}_dataloader']
        loader.update(
            batch_size=BATCH, num_workers=0, persistent_workers=False
        )
        loader.dataset.update(data, pipeline=pipeline)
    cfg.merge_from_dict(
        dict(
            val_evaluator=dict(ann_file=f'{root}/data/annotations/val.json'),
            optim_wrapper=dict(optimizer=dict(lr=5e-3)),
            default_hooks=dict(
                logger=dict(interval=1),
                checkpoint=dict(interval=1, max_keep_ckpts=-1, save_best=None),
            ),
            log_processor=dict(window_size=1),
            randomness=dict(seed=0, deterministic=True),
        )
    )
    cfg.train_cfg = epochs(EPOCHS)
    cfg.param_scheduler = []
    cfg.custom_hooks = hooks
    for name, value in options.items():
        cfg[name] = value
    return cfg


def epochs(count):
    return dict(type='EpochBasedTrainLoop', max_epochs=count, val_begin=99)


def iterations(count):
    return dict(type='IterBasedTrainLoop', max_iters=count, val_begin=99)


@pytest.fixture(autouse=True)
def short_config(monkeypatch):
    """To format a config takes longer than these trainings."""
    monkeypatch.setattr(Config, 'pretty_text', '')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return tmp_path_factory.mktemp('diagnostics')


@pytest.fixture
def make_runner(root, tmp_path):
    # Runners of one name share their logs and their visualizer.
    names = (f'{tmp_path.name} {number}' for number in count())

    def make(name, hooks, change=lambda cfg: None, **options):
        cfg = config(root, name, hooks, **options)
        change(cfg)
        cfg.experiment_name = next(names)
        cfg.visualizer.name = cfg.experiment_name
        cfg.setdefault('work_dir', str(tmp_path / cfg.experiment_name))
        return Runner.from_cfg(cfg)

    return make


def history(runner, prefix):
    """What the runner remembers of each number."""
    return {
        name: buffer.data[0].tolist()
        for name, buffer in runner.message_hub.log_scalars.items()
        if name.startswith(prefix)
    }


def curves(work_dir):
    """Steps and values of each number in the log."""
    return {
        name.replace('matching/', ''): (curve.steps, curve.values)
        for name, curve in read_log(work_dir).curves.items()
        if name.startswith('matching/')
    }


def trace(runner):
    """All that a training leaves: losses, weights, buffers, generators."""
    runner.train()
    losses = history(runner, 'train/')
    for clock in ('time', 'data_time'):
        del losses[f'train/{clock}']
    generators = np.random.rand(), torch.rand(()).item()
    return losses, runner.model.state_dict(), generators


def assert_equal(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ('name', 'options', 'others'),
    [
        ('DETR', dict(picture_interval=1), []),
        ('DETR', dict(by_epoch=False, split='val'), []),
        ('SSD', dict(by_epoch=False, picture_interval=3, picture='plan'), []),
        ('stock DETR', dict(), [dict(type='EMAHook')]),
    ],
)
def test_a_training_is_the_same_with_and_without_it(
    name, options, others, make_runner
):
    expected = trace(make_runner(name, others))
    runner = make_runner(name, [*others, {**HOOK, **options}])
    assert_equal(trace(runner), expected)
    assert len(curves(runner.work_dir)) >= len(NUMBERS) - 2


def by_definition(plans):
    """The numbers of plans, (N, M + 1) lists, by loops."""
    num_gts = sum(len(plan[0]) - 1 for plan in plans)
    pairs, foreground, entropies = 0, 0, []
    for plan in plans:
        total = sum(map(sum, plan))
        mass = [x / total for row in plan for x in row if x > 0]
        entropies.append(-sum(p * (math.log(p) - 1) for p in mass))
        for column in [*zip(*plan)][:-1]:
            foreground += sum(column)
            pairs += any(
                x > sum(row) / 2 and x > sum(column) / 2
                for x, row in zip(column, plan)
            )
    return dict(
        one_to_one=pairs / num_gts,
        foreground_mass=foreground / num_gts,
        entropy=np.mean(entropies),
    )


def best(plans):
    return [
        column.index(max(column)) if max(column) > 0 else -1
        for plan in plans
        for column in [[*x] for x in zip(*plan)][:-1]
    ]


@pytest.mark.parametrize('split', ['train', 'val'])
@pytest.mark.parametrize('name', MODELS_OF)
def test_the_log_has_the_numbers_of_the_checkpoints(name, split, make_runner):
    runner = make_runner(name, [dict(HOOK, split=split)])
    runner.train()
    logged = curves(runner.work_dir)

    # Images as validation loads them.
    cfg = runner.cfg.copy()
    cfg.val_dataloader.dataset.split = split
    dataset = load_dataset(cfg, 'val')
    samples = [dataset[index] for index in (0, 1, 3, 4, 6)]
    model = MODELS.build(cfg.model)
    expected, before = [], None
    for epoch in range(1, EPOCHS + 1):
        load_checkpoint(model, f'{runner.work_dir}/epoch_{epoch}.pth')
        plans = [record_matching(model, sample).plan for sample in samples]
        weights = [plan.weights[0].tolist() for plan in plans]
        numbers = by_definition(weights)
        if name != 'stock DETR':
            errors = [plan.marginal_error.item() for plan in plans]
            numbers['marginal_error'] = np.mean(errors)
        if before is not None:
            changed = np.not_equal(before, best(weights))
            numbers['instability'] = changed.mean()
        before = best(weights)
        expected.append(numbers)

    for key in expected[-1]:
        values = [numbers[key] for numbers in expected if key in numbers]
        steps = list(range(EPOCHS - len(values) + 1, EPOCHS + 1))
        assert logged[key][0] == steps
        np.testing.assert_allclose(logged[key][1], values, rtol=1e-5)
    if name != 'SSD':
        assert 0 < max(logged['instability'][1]) <= 1
    assert all(0 < share < 1 for share in logged['time_share'][1])
    absent = {'marginal_error', 'bad_costs'} if 'stock' in name else set()
    assert {*logged} == {*NUMBERS} - absent


def test_the_hungarian_matching_is_known(make_runner):
    runner = make_runner('stock DETR', [HOOK])
    runner.train()
    logged = {name: x for name, (_, x) in curves(runner.work_dir).items()}
    assert logged['one_to_one'] == [1.0] * EPOCHS
    assert logged['foreground_mass'] == [1.0] * EPOCHS
    assert logged['support'] == [12] * EPOCHS
    np.testing.assert_allclose(logged['entropy'], math.log(12) + 1)


def test_a_resumed_training_logs_what_an_uninterrupted_one_does(make_runner):
    hooks = [dict(type='ReproducibleResumeHook'), HOOK]
    whole = make_runner('DETR', hooks)
    whole.train()
    stopped = make_runner('DETR', hooks, train_cfg=epochs(1))
    stopped.train()
    resumed = make_runner(
        'DETR', hooks, resume=True, work_dir=stopped.work_dir
    )
    resumed.train()
    expected, logged = curves(whole.work_dir), curves(stopped.work_dir)
    for name in {*NUMBERS} - {'time_share'}:
        assert logged[name] == expected[name]
    assert len(logged['instability'][1]) == EPOCHS - 1


def test_other_images_than_the_checkpoints_begin_anew(make_runner):
    stopped = make_runner('DETR', [HOOK], train_cfg=epochs(1))
    stopped.train()
    hook = dict(HOOK, num_images=3)
    resumed = make_runner(
        'DETR', [hook], resume=True, work_dir=stopped.work_dir
    )
    resumed.train()
    steps, _ = curves(stopped.work_dir)['instability']
    assert steps == list(range(3, EPOCHS + 1))


@pytest.mark.parametrize('by_epoch', [True, False])
def test_intervals(by_epoch, make_runner):
    options = dict(interval=2, picture_interval=4, by_epoch=by_epoch)
    runner = make_runner(
        'DETR',
        [{**HOOK, **options}],
        train_cfg=epochs(4) if by_epoch else iterations(4),
        log_processor=dict(window_size=1, by_epoch=by_epoch),
    )
    runner.train()
    log = read_log(runner.work_dir)
    assert log.unit == ('epoch' if by_epoch else 'iteration')
    assert curves(runner.work_dir)['entropy'][0] == [2, 4]
    (picture,) = Path(runner.work_dir).glob('*/vis_data/vis_image/*')
    assert picture.name == 'matching_4.png'


@pytest.mark.parametrize('picture', ['matching', 'plan'])
def test_the_picture_is_that_of_the_first_image_with_objects(
    picture, make_runner
):
    hook = dict(HOOK, picture_interval=EPOCHS, picture=picture)
    runner = make_runner('DETR', [hook])
    runner.train()
    (file,) = Path(runner.work_dir).glob('*/vis_data/vis_image/*')
    model = MODELS.build(runner.cfg.model)
    load_checkpoint(model, f'{runner.work_dir}/epoch_{EPOCHS}.pth')
    samples = matching_images.load_images(runner.cfg, 'train', 5)
    with_objects = [x for x in samples if len(x['data_samples'].gt_instances)]
    matched = record_matching(model, with_objects[0])
    title = f'Matching, epoch {EPOCHS}'
    figure = (
        draw_matching(matched, title=title)
        if picture == 'matching'
        else draw_plan(matched.plan, title=title)
    )
    np.testing.assert_array_equal(
        cv2.imread(str(file))[..., ::-1], to_rgb(figure)
    )


def bad_costs(cfg):
    costs = [dict(type='BadForOddImages'), dict(type='IoUCost')]
    cfg.model.train_cfg.assigner.match_costs = costs


def number_of_bad_costs(root, layers):
    """Of an epoch of training."""
    file = Path(root) / 'data/annotations/train.json'
    content = json.loads(file.read_text())
    with_objects = {x['image_id'] for x in content['annotations']}
    return layers * sum(
        is_odd(x['file_name']) and x['id'] in with_objects
        for x in content['images']
    )


def test_bad_costs_are_those_of_the_training(root, make_runner):
    hook = dict(HOOK, interval=2)
    runner = make_runner('DETR', [hook], change=bad_costs)
    runner.train()
    _, logged = curves(runner.work_dir)['bad_costs']
    assert logged == [2 * number_of_bad_costs(root, layers=2)] != [0]


def fail(*_, **__):
    raise RuntimeError('halt')


@pytest.mark.parametrize(
    ('broken', 'said'),
    [
        ('draw_matching', 'no picture was drawn: RuntimeError: halt'),
        ('describe', 'the matching was not measured: RuntimeError: halt'),
        ('match_images', 'no image can be matched: RuntimeError: halt'),
    ],
)
def test_a_failure_is_one_warning(broken, said, make_runner, monkeypatch):
    expected = trace(make_runner('DETR', []))
    monkeypatch.setattr(matching_diagnostics_hook, broken, fail)
    runner = make_runner('DETR', [dict(HOOK, picture_interval=1)])
    assert_equal(trace(runner), expected)
    (log,) = Path(runner.work_dir).glob('*/*.log')
    assert log.read_text().count(said) == 1


def test_the_log_of_bad_costs_is_put_back_after_an_error(
    make_runner, monkeypatch
):
    runner = make_runner('DETR', [HOOK])
    builder = runner.model.bbox_head.assigner.cost
    log = builder.log
    monkeypatch.setattr(matching_diagnostics_hook, 'match_images', fail)
    runner.train()
    assert builder.log is log


@OPTIM_WRAPPERS.register_module()
class HalfPrecision(OptimWrapper):
    """As AmpOptimWrapper, which needs a GPU."""

    @contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast('cpu'):
            yield


def test_images_are_matched_in_the_precision_of_the_training(make_runner):
    runner = make_runner(
        'DETR',
        [HOOK],
        change=lambda cfg: cfg.optim_wrapper.update(type='HalfPrecision'),
        train_cfg=epochs(1),
    )
    linear = runner.model.bbox_head.fc_cls
    seen = []
    linear.register_forward_hook(lambda *x: seen.append(x[-1].dtype))
    runner.train()
    assert {*seen} == {torch.bfloat16}


def test_the_log_is_json_whatever_the_numbers(make_runner, monkeypatch):
    infinite = dict(entropy=math.inf, support=1.0, marginal_error=math.nan)
    monkeypatch.setattr(
        matching_diagnostics_hook, 'describe', lambda _: dict(infinite)
    )
    runner = make_runner('DETR', [HOOK], train_cfg=epochs(1))
    runner.train()
    assert {'support'} <= {*curves(runner.work_dir)} < {*NUMBERS}
    (log,) = Path(runner.work_dir).glob('*/vis_data/scalars.json')
    for line in log.read_text().splitlines():
        json.loads(line, parse_constant=fail)


class Clock:
    """A clock that goes on only if told to."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class Assigner:
    """Some seconds for each method, which may call one another."""

    def __init__(self, clock):
        self.clock = clock

    def match(self, seconds):
        self.clock.now += seconds
        return seconds

    def assign(self, seconds):
        self.clock.now += 1
        return self.match(seconds - 1)


class Event:
    """A mark of a GPU that is behind the host by some seconds."""

    behind = 0.0
    clock = None

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.time = self.clock.now

    def query(self):
        return self.time <= self.clock.now - Event.behind

    def elapsed_time(self, end):
        assert self.query() and end.query()
        return 1000 * (end.time - self.time)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(matching_timer, 'time', clock)
    monkeypatch.setattr(Event, 'clock', clock)
    monkeypatch.setattr(torch.cuda, 'Event', Event)
    return clock


def run_step(timer, assigner, clock, seconds):
    timer.start_step()
    clock.now += 3
    assert assigner.assign(seconds) == seconds - 1
    assert assigner.match(1) == 1
    timer.end_step()


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
def test_the_share_of_time_is_that_of_assigners_in_steps(device, clock):
    assigner = Assigner(clock)
    timer = MatchingTimer([assigner], torch.device(device))
    assert timer.pop_share() is None
    for seconds in (2, 4):
        run_step(timer, assigner, clock, seconds)
        assigner.assign(100)  # of the diagnostics, or while data is awaited
    assert timer.pop_share() == (2 + 1 + 4 + 1) / (6 + 2 + 1 + 4 + 1)
    run_step(timer, assigner, clock, 2)
    assert timer.pop_share() == 3 / 6
    assert vars(assigner) == dict(clock=clock)


def test_the_clock_of_a_gpu_is_read_when_its_work_is_done(clock, monkeypatch):
    assigner = Assigner(clock)
    timer = MatchingTimer([assigner], torch.device('cuda'))
    monkeypatch.setattr(Event, 'behind', 8.0)
    run_step(timer, assigner, clock, 2)
    assert timer.pop_share() is None
    run_step(timer, assigner, clock, 6)
    assert timer.pop_share() == 3 / 6
    run_step(timer, assigner, clock, 1)
    assert timer.pop_share() is None
    monkeypatch.setattr(Event, 'behind', 0.0)
    run_step(timer, assigner, clock, 2)
    assert timer.pop_share() == (7 + 2 + 3) / (10 + 5 + 6)
    assert not timer.pending


def test_running_averages_and_random_numbers_are_put_back(root):
    init_default_scope('mmdet')
    cfg = config(root, 'DETR', [])
    samples = matching_images.load_images(cfg, 'val', 2)
    model = MODELS.build(cfg.model)
    model.register_buffer('calls', torch.zeros(()))
    seen = []

    def look(module, inputs, outputs):
        model.calls.add_(1)
        seen.append((model.calls.item(), np.random.rand(), torch.rand(())))

    model.bbox_head.register_forward_hook(look)
    training = {module: module.training for module in model.modules()}
    np.random.seed(1)
    torch.manual_seed(1)
    expected = np.random.rand(), torch.rand(())
    for _ in range(2):
        np.random.seed(1)
        torch.manual_seed(1)
        matching_images.match_images(model, samples)
        assert (np.random.rand(), torch.rand(())) == expected
    assert model.calls == 0
    assert [calls for calls, *_ in seen] == [1, 1, 1, 1]
    # Each image sees the same numbers each time.
    assert len({tuple(map(float, numbers)) for _, *numbers in seen}) == 1
    assert {m: m.training for m in model.modules()} == training


def repeat(dataset):
    return dict(type='RepeatDataset', times=2, dataset=dataset)


def balance(dataset):
    return dict(
        type='ClassBalancedDataset', oversample_thr=0.9, dataset=dataset
    )


def mix(dataset):
    """Loads in the dataset, augments and packs in the wrapper."""
    load, rest = dataset['pipeline'][:2], dataset['pipeline'][2:]
    return dict(
        type='MultiImageMixDataset',
        dataset=dict(dataset, pipeline=load),
        pipeline=rest,
    )


def join(dataset):
    return dict(type='ConcatDataset', datasets=[dataset])


@pytest.mark.parametrize(
    'wrap',
    [
        repeat,
        mix,
        join,
        lambda dataset: balance(join(repeat(dataset))),
        lambda dataset: join(repeat(join(mix(dataset)))),
        lambda dataset: repeat(join(balance(dataset))),
    ],
)
def test_images_are_spread_evenly_and_not_augmented(wrap, root):
    init_default_scope('mmdet')
    cfg = config(root, 'DETR', [])
    cfg.train_dataloader.dataset.pipeline[-2].prob = 1.0
    cfg.val_dataloader.dataset.split = 'train'
    plain = load_dataset(cfg, 'val')
    cfg.train_dataloader.dataset = wrap(cfg.train_dataloader.dataset)
    cfg.val_dataloader.dataset = wrap(cfg.val_dataloader.dataset)
    for asked in (2, 3, IMAGES, 99):
        samples = matching_images.load_images(cfg, 'train', asked)
        found = min(asked, IMAGES)
        assert len(samples) == found
        indices = np.linspace(0, IMAGES, found, endpoint=False).astype(int)
        for index, sample in zip(indices, samples):
            expected = plain[int(index)]
            assert torch.equal(sample['inputs'], expected['inputs'])
            boxes, expected = (
                x['data_samples'].gt_instances.bboxes.tensor
                for x in (sample, expected)
            )
            assert torch.equal(boxes, expected)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(split='test'), "split must be one of ('train', 'val'), got"),
        (dict(picture='x'), "picture must be one of ('matching', 'plan')"),
        (dict(num_images=0), 'num_images must be a whole number of at least'),
        (dict(interval=0), 'interval must be a whole number of at least 1'),
        (dict(interval=0.5), 'at least 1, got 0.5'),
        (dict(picture_interval=-3), 'picture_interval must be a whole number'),
        (
            dict(interval=2, picture_interval=3),
            'picture_interval must be a multiple of interval=2, got 3; None',
        ),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        HOOKS.build({**HOOK, **options})


def without_validation(cfg):
    for split, name in product(
        ('val', 'test'), ('dataloader', 'evaluator', 'cfg')
    ):
        cfg[f'{split}_{name}'] = None


def without_objects(cfg):
    cfg.val_dataloader.dataset.pipeline.pop(2)


def two_hooks(cfg):
    cfg.custom_hooks = [HOOK, HOOK]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            without_validation,
            "split='train' takes the pipeline of val_dataload",
        ),
        (without_objects, "none of the 5 images of split='train' has ground"),
        (two_hooks, 'has several MatchingDiagnosticsHook'),
    ],
)
def test_what_cannot_be_diagnosed_is_an_error_before_training(
    change, message, make_runner
):
    runner = make_runner('DETR', [HOOK], change=change)
    with pytest.raises(ValueError, match=re.escape(message)):
        runner.train()
    assert runner.iter == 0


def test_a_model_without_assigner_is_an_error(make_runner):
    runner = make_runner('DETR', [HOOK])
    runner.model.bbox_head.assigner = None
    with pytest.raises(ValueError, match='needs a model with an assigner, bu'):
        runner.train()


def test_epochs_need_a_loop_that_counts_them(make_runner):
    runner = make_runner('DETR', [HOOK], train_cfg=iterations(2))
    with pytest.raises(ValueError, match='by_epoch=True needs epochs'):
        runner.train()


def main(rank, root, folder):
    """One of two processes: trains with and without the hook."""
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/store',
        rank=rank,
        world_size=2,
        timeout=timedelta(minutes=3),
    )
    os.environ['LOCAL_RANK'] = str(rank)
    Config.pretty_text = ''
    results = {}
    for name, hooks in product(('DETR', 'stock DETR'), ([], [HOOK])):
        case = f'{name}, {len(hooks)} hooks'
        cfg = config(
            root,
            name,
            hooks,
            launcher='pytorch',
            model_wrapper_cfg=dict(
                type='MMDistributedDataParallel', device_ids=None
            ),
            experiment_name=case,
            work_dir=f'{folder}/{case}',
            train_cfg=epochs(2),
        )
        if name == 'DETR':
            bad_costs(cfg)
        cfg.visualizer.name = case
        runner = Runner.from_cfg(cfg)
        results[case] = trace(runner)
        results[f'{case}, numbers'] = history(runner, 'matching/')
    torch.save(results, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def processes(root, tmp_path_factory):
    """Of two processes: the traces of their trainings, and the work dirs."""
    config_of_data = config(root, 'DETR', [])
    for split in ('train', 'val'):
        load_dataset(config_of_data, split)
    folder = tmp_path_factory.mktemp('processes')
    command = sys.executable, __file__
    started = [
        subprocess.Popen([*command, str(rank), str(root), str(folder)])
        for rank in range(2)
    ]
    assert [process.wait() for process in started] == [0, 0]
    return [torch.load(folder / f'{rank}.pt') for rank in range(2)], folder


@pytest.mark.parametrize('name', ['DETR', 'stock DETR'])
def test_processes_train_as_without_it(name, processes):
    results, _ = processes
    for of_rank in results:
        assert_equal(of_rank[f'{name}, 1 hooks'], of_rank[f'{name}, 0 hooks'])


@pytest.mark.parametrize('name', ['DETR', 'stock DETR'])
def test_of_two_processes_the_main_one_logs(name, processes):
    (first, second), folder = processes
    case = f'{name}, 1 hooks'
    assert second[f'{case}, numbers'] == {}
    logged = curves(folder / case)
    for key, values in first[f'{case}, numbers'].items():
        assert logged[key.replace('matching/', '')][1] == values
    assert logged['entropy'][0] == [1, 2]


def test_bad_costs_are_those_of_all_processes(root, processes):
    _, folder = processes
    expected = number_of_bad_costs(root, layers=2)
    _, logged = curves(folder / 'DETR, 1 hooks')['bad_costs']
    assert logged == [expected] * 2


if __name__ == '__main__':
    main(int(sys.argv[1]), *sys.argv[2:])
