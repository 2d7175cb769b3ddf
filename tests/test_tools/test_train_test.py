"""Trains and evaluates a tiny detector with the command-line tools."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.tools import load_tool
from mmengine.config import Config
from mmengine.runner import ValLoop

from mmdet_uot import _tools

pytestmark = pytest.mark.slow

CONFIG = """
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    'mmdet::_base_/default_runtime.py',
]
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)
pretrained = dict(type='Pretrained', checkpoint='published.pth')
model = dict(
    backbone=dict(depth=18, base_channels=8, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=8, num_outs=5),
    bbox_head=dict(
        num_classes=1, in_channels=8, feat_channels=8, stacked_convs=1),
    test_cfg=dict(score_thr=0.0),
)
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64)),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=(
        'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
dataset = dict(type='CocoDataset', data_root='{data}', ann_file='boxes.json',
    data_prefix=dict(img=''), metainfo=dict(classes=('box', )),
    pipeline=pipeline)
train_dataloader = dict(batch_size=2, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset)
test_dataloader = dict(batch_size=1, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(test_mode=True, **dataset))
test_evaluator = dict(
    type='CocoMetric', ann_file='{data}/boxes.json', metric='bbox')
test_cfg = dict(type='TestLoop')
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
"""


@pytest.fixture(scope='module')
def train():
    return load_tool('train')


@pytest.fixture(scope='module')
def test():
    return load_tool('test')


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config whose two images have one white box each."""
    monkeypatch.chdir(tmp_path)
    images, boxes = [], []
    for i in range(2):
        image = np.full((64, 64, 3), 99, np.uint8)
        image[8:40, 8:40] = 255
        cv2.imwrite(str(tmp_path / f'{i}.png'), image)
        images.append(dict(id=i, file_name=f'{i}.png', width=64, height=64))
        boxes.append(
            dict(
                id=i + 1,
                image_id=i,
                category_id=1,
                bbox=[8, 8, 32, 32],
                area=1024,
                iscrowd=0,
            )
        )
    categories = [dict(id=1, name='box')]
    text = json.dumps(
        dict(images=images, annotations=boxes, categories=categories)
    )
    (tmp_path / 'boxes.json').write_text(text)
    path = tmp_path / 'tiny.py'
    path.write_text(CONFIG.replace('{data}', str(tmp_path)))
    return str(path)


@pytest.fixture
def built(train, monkeypatch):
    """Configs that reach the runner, which is not built."""
    seen = []

    class Runner:
        def train(self):
            pass

    def build_runner(cfg):
        seen.append(cfg)
        return Runner()

    monkeypatch.setattr(train, 'build_runner', build_runner)
    return seen


@pytest.mark.slow
def test_train_resume_evaluate(train, test, config, tmp_path, capsys):
    train.main([config])
    work_dir = tmp_path / 'work_dirs' / 'tiny'
    first = torch.load(work_dir / 'epoch_1.pth', weights_only=False)
    assert first['meta']['epoch'] == 1

    more = ['--cfg-options', 'train_cfg.max_epochs=2']
    (work_dir / 'epoch_2.pth').write_bytes(b'PK: cut short')
    train.main([config, '--resume', *more])
    second = torch.load(work_dir / 'epoch_2.pth', weights_only=False)
    assert second['meta']['epoch'] == 2
    assert second['meta']['iter'] == 2 * first['meta']['iter']

    written = (work_dir / 'epoch_2.pth').stat().st_mtime_ns
    train.main([config, '--resume', *more])
    assert (work_dir / 'epoch_2.pth').stat().st_mtime_ns == written

    capsys.readouterr()
    test.main(
        [config, str(work_dir), '--out', 'out.pkl', '--show-dir', 'pictures']
    )
    printed = dict(
        line.split(':', 1)
        for line in capsys.readouterr().out.splitlines()
        if line.startswith(('Checkpoint', 'Metrics', 'Pictures'))
    )
    assert printed['Checkpoint'].strip() == str(work_dir / 'epoch_2.pth')
    metrics = json.loads(Path(printed['Metrics'].strip()).read_text())
    assert 'coco/bbox_mAP' in metrics
    pictures = sorted(Path(printed['Pictures'].strip()).iterdir())
    assert [picture.name for picture in pictures] == ['0.png', '1.png']
    # ground truth on the left, detections on the right
    assert cv2.imread(str(pictures[0])).shape == (64, 128, 3)
    with open('out.pkl', 'rb') as file:
        assert len(pickle.load(file)) == 2


def test_options_reach_the_config(train, config, built):
    train.main(
        [
            config,
            '--work-dir=elsewhere',
            '--pretrained',
            '--auto-scale-lr',
            '--cfg-options',
            'auto_scale_lr.base_batch_size=4',
            'optim_wrapper.optimizer.lr=0.5',
        ]
    )
    (cfg,) = built
    assert cfg.work_dir == 'elsewhere'
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert cfg.auto_scale_lr.enable
    assert cfg.model.backbone.init_cfg.checkpoint == 'published.pth'


def test_defaults_leave_the_config_alone(train, config, built):
    train.main([config])
    (cfg,) = built
    assert cfg.work_dir == 'work_dirs/tiny'
    assert cfg.model.backbone.init_cfg is None
    assert cfg.optim_wrapper == Config.fromfile(config).optim_wrapper
    assert not cfg.resume and cfg.load_from is None


def test_resume_without_a_checkpoint_starts_anew(train, config, built):
    train.main([config, '--resume'])
    (cfg,) = built
    assert not cfg.resume and cfg.load_from is None


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('--pretrained', '--pretrained needs `pretrained'),
        ('--auto-scale-lr', '--auto-scale-lr needs `auto_scale_lr'),
        ('--amp', '--amp needs a GPU'),
        ('--resume=nothing.pth', "no checkpoint 'nothing.pth'"),
    ],
)
def test_impossible_options_are_one_line(
    train, config, built, option, message, monkeypatch
):
    monkeypatch.setattr(train, 'get_device', lambda: 'cpu')
    change = ['--cfg-options', 'pretrained=None', 'auto_scale_lr={}']
    with pytest.raises(SystemExit, match=message) as error:
        train.main([config, option, *change])
    assert '\n' not in str(error.value)
    assert not built


def test_an_interruption_is_one_line_that_says_how_to_go_on(
    train, config, built, monkeypatch
):
    def interrupt(self):
        raise KeyboardInterrupt

    train.main([config])
    monkeypatch.setattr(type(train.build_runner(built[0])), 'train', interrupt)
    with pytest.raises(SystemExit, match='--resume .* work_dirs/tiny$'):
        train.main([config])


@pytest.fixture
def validations(config, monkeypatch):
    """Iterations after which the training validates, which can be broken."""
    with open(config, 'a') as file:
        file.write(
            'val_dataloader = test_dataloader\n'
            'val_evaluator = test_evaluator\n'
            "val_cfg = dict(type='ValLoop')\n"
        )
    stock = ValLoop.run

    def run(self):
        seen.append(self.runner.iter)
        if seen.broken:
            raise KeyboardInterrupt
        return stock(self)

    class Seen(list):
        broken = False

    seen = Seen()
    monkeypatch.setattr(ValLoop, 'run', run)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize('loop', ['EpochBased', 'IterBased'])
def test_an_interrupted_validation_is_made_up(
    train, config, validations, loop
):
    if loop == 'IterBased':
        text = Path(config).read_text()
        Path(config).write_text(
            text.replace(
                "type='EpochBasedTrainLoop', max_epochs=1",
                "type='IterBasedTrainLoop', max_iters=1, val_interval=1",
            )
            + 'default_hooks = dict(checkpoint=dict(by_epoch=False))\n'
        )
    validations.broken = True
    with pytest.raises(SystemExit, match='interrupted'):
        train.main([config])
    validations.broken = False
    train.main([config, '--resume'])
    assert validations == [1, 1]
    logs = Path('work_dirs/tiny').glob('2*/*.log')
    texts = [file.read_text() for file in logs]
    assert sum('Nothing is left to train' in text for text in texts) == 1
    # Once is enough.
    train.main([config, '--resume'])
    assert validations == [1, 1]
    # A training that starts anew knows nothing of it.
    validations.broken = True
    with pytest.raises(SystemExit, match='interrupted'):
        train.main([config])
    validations.broken = False
    train.main([config, '--resume'])
    assert validations == [1, 1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize('loop', ['EpochBased', 'IterBased'])
def test_fewer_images_than_a_batch_are_an_error(train, config, loop):
    change = ['train_dataloader.drop_last=True']
    if loop == 'IterBased':
        text = Path(config).read_text()
        Path(config).write_text(
            text.replace(
                "type='EpochBasedTrainLoop', max_epochs=1",
                "type='IterBasedTrainLoop', max_iters=1",
            )
        )
    change.append('train_dataloader.batch_size=3')
    with pytest.raises(SystemExit, match='2 images, fewer than batch_size=3'):
        train.main([config, '--cfg-options', *change])
    assert not list(Path('work_dirs/tiny').glob('*.pth'))
    if loop == 'IterBased':
        # It shows two images three at a time.
        again = 'train_dataloader.sampler.type=InfiniteSampler'
        train.main([config, '--cfg-options', *change, again])


def test_no_images_are_an_error(train, config):
    change = 'train_dataloader.dataset.indices=0'
    with pytest.raises(SystemExit, match='has no images, or none that it'):
        train.main([config, '--cfg-options', change])


@pytest.mark.slow
def test_faults_of_the_input_are_one_line(train, config, tmp_path):
    with pytest.raises(SystemExit, match='No such file.*nothing.json') as end:
        train.main(
            [
                config,
                '--cfg-options',
                'train_dataloader.dataset.ann_file=nothing.json',
            ]
        )
    assert '\n' not in str(end.value)
    (tmp_path / '1.png').unlink()
    with pytest.raises(SystemExit, match='No such file.*1.png') as end:
        train.main([config, '--cfg-options', 'train_dataloader.num_workers=1'])
    assert '\n' not in str(end.value)
    with pytest.raises(FileNotFoundError):
        train.main([config, '--traceback'])


@pytest.mark.slow
def test_what_fails_in_a_step_keeps_its_traceback(train, config, monkeypatch):
    def fail(*_, **__):
        raise ValueError('halt')

    monkeypatch.setattr('mmdet.models.RetinaNet.loss', fail)
    with pytest.raises(ValueError, match='halt'):
        train.main([config])


@pytest.mark.slow
def test_results_are_written_into_the_given_work_dir(train, test, config):
    train.main([config, '--work-dir=elsewhere'])
    test.main([config, 'elsewhere'])
    assert not Path('work_dirs').exists()
    assert len([*Path('elsewhere').glob('2*/2*.json')]) == 1


def test_unknown_config_suggests_near_names(train, config, tmp_path):
    with pytest.raises(SystemExit, match=r'did you mean: .*tiny\.py'):
        train.main([str(tmp_path / 'tinny.py')])
    with pytest.raises(SystemExit, match=r'configs/ssd300_uot\.py'):
        train.main(['configs/sd300_uot.py'])


def test_checkpoint_is_checked_before_anything_runs(test, config, tmp_path):
    whole = tmp_path / 'whole.pth'
    torch.save({'state_dict': {'weight': torch.zeros(1000)}}, whole)
    cut = tmp_path / 'cut.pth'
    cut.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(SystemExit, match=r'cut short \(\d+ bytes\)'):
        test.main([config, str(cut)])
    with pytest.raises(SystemExit, match=r'its folder has .*whole\.pth'):
        test.main([config, str(tmp_path / 'other.pth')])
    with pytest.raises(SystemExit, match='no checkpoint in the folder'):
        (tmp_path / 'empty').mkdir()
        test.main([config, str(tmp_path / 'empty')])
    assert _tools.find_checkpoint(str(whole)) == str(whole)
    assert _tools.find_checkpoint(str(tmp_path)) == str(whole)
    url = 'open-mmlab://vgg16_caffe'
    assert _tools.find_checkpoint(url) == url


def test_old_pickled_weights_pass(tmp_path):
    file = tmp_path / 'published.pth'
    torch.save({}, file, _use_new_zipfile_serialization=False)
    assert _tools.is_whole(file)


def test_out_must_be_a_pickle(test, config):
    with pytest.raises(SystemExit):
        test.parse_args([config, 'checkpoint.pth', '--out', 'out.json'])
