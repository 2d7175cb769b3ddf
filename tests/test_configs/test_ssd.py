"""Every config builds, trains a step, and is what its name says."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import save_checkpoint

from mmdet_uot.heads import UOTSSDHead

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / 'configs'
NAMES = sorted(path.stem for path in CONFIGS.glob('ssd*.py'))
# Beyond the paper: other costs.
VARIANTS = [f'ssd300_uot_{x}_cpu' for x in ('level_background', 'wasserstein')]
COLOR_BOXES = [name for name in NAMES if not name.endswith('_coco')]
CPU = [name for name in NAMES if name.endswith('_cpu')]
VGG = [name for name in COLOR_BOXES if name not in CPU]
# VGG is slow: one step per input size (not all the way back for the greater
# one), and of the head alone for the others.
WHOLE_STEPS = [*CPU, 'ssd300_uot', 'ssd512_uot']
GRIDS = {
    300: (38, 19, 10, 5, 3, 1),
    512: (64, 32, 16, 8, 4, 2, 1),
}
LOSSES = ('loss_cls', 'loss_bbox')
NUM_ANCHORS = {300: 8732, 512: 24564}


def input_size(name):
    return int(name[3:6])


def test_there_is_a_config_for_every_setting():
    tiers = ('', '_coco', '_cpu')
    expected = [
        f'ssd300_{matching}{tier}'
        for matching in ('uot', 'ot', 'two_stage')
        for tier in tiers
    ] + [f'ssd512_uot{tier}' for tier in tiers]
    assert sorted([*expected, *VARIANTS]) == NAMES


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.slow
def test_model_builds(name, load):
    cfg = load(name)
    assert cfg.default_scope == 'mmdet'
    assert cfg.custom_imports.imports == ['mmdet_uot']
    model = MODELS.build(cfg.model)
    head = model.bbox_head
    assert type(head) is UOTSSDHead
    assert head.num_classes == (20 if name in COLOR_BOXES else 80)
    sizes = [(side, side) for side in GRIDS[input_size(name)]]
    anchors = head.prior_generator.grid_priors(sizes, device='cpu')
    assert sum(map(len, anchors)) == NUM_ANCHORS[input_size(name)]


@pytest.mark.parametrize('name', WHOLE_STEPS)
@pytest.mark.slow
def test_one_step_of_training(name, load, assert_trains):
    model = MODELS.build(load(name).model)
    model.init_weights()
    if name == 'ssd512_uot':
        model.backbone.requires_grad_(False)
    # BatchNorm of a 1 x 1 map needs two images.
    batch = 2 if name in CPU else 1
    shape = [3, input_size(name), input_size(name)]
    data = demo_mm_inputs(
        batch, [shape] * batch, num_items=[4] * batch, num_classes=20
    )
    data = model.data_preprocessor(data, training=True)
    assert data['inputs'].shape == (batch, *shape)
    assert_trains(model, model(**data, mode='loss'), LOSSES)


@pytest.mark.parametrize('name', sorted({*NAMES} - {*WHOLE_STEPS}))
@pytest.mark.slow
def test_one_step_of_the_head(name, load, assert_trains):
    cfg, size = load(name).model, input_size(name)
    head = MODELS.build(
        dict(cfg.bbox_head, train_cfg=cfg.train_cfg, test_cfg=cfg.test_cfg)
    )
    head.init_weights()
    features = [
        torch.rand(1, channels, side, side)
        for channels, side in zip(cfg.bbox_head.in_channels, GRIDS[size])
    ]
    data = demo_mm_inputs(1, [[3, size, size]], num_items=[4])
    for sample in data['data_samples']:
        sample.set_metainfo(dict(pad_shape=(size, size)))
    assert_trains(head, head.loss(features, data['data_samples']), LOSSES)


@pytest.mark.parametrize('tier', ['', '_coco', '_cpu'])
def test_twins_differ_in_the_assigner_only(tier, load):
    assigners, rest = [], []
    for matching in ('uot', 'ot', 'two_stage'):
        cfg = load(f'ssd300_{matching}{tier}').to_dict()
        assigners.append(cfg['model']['train_cfg'].pop('assigner'))
        rest.append(cfg)
    assert rest[0] == rest[1] == rest[2]
    types = [assigner['type'] for assigner in assigners]
    assert types == ['UOTAssigner', 'SinkhornAssigner', 'MaxIoUAssigner']
    stock = Config.fromfile(CONFIGS / 'ssd300_two_stage_coco.py').to_dict()
    assert assigners[2] == stock['model']['train_cfg']['assigner']


@pytest.mark.parametrize(
    'name', [n for n in NAMES if '_uot' in n and n not in VARIANTS]
)
def test_the_papers_numbers(name, load):
    assert load(name).model.train_cfg.assigner == dict(
        type='UOTAssigner',
        match_costs=[dict(type='OneMinusIoUCost')],
        background_cost=0.5,
        tau1=100.0,
        tau2=0.01,
    )


@pytest.mark.parametrize('size', [300, 512])
def test_coco_configs_are_mmdets_but_for_head_and_assigner(size, load):
    name = f'ssd{size}_{"two_stage" if size == 300 else "uot"}_coco'
    stock = load(f'mmdet::ssd/ssd{size}_coco.py').to_dict()
    ours = load(name).to_dict()
    stock['model']['bbox_head']['type'] = 'UOTSSDHead'
    if size == 512:
        for cfg in (stock, ours):
            cfg['model']['train_cfg'].pop('assigner')
    assert ours.pop('custom_imports')['imports'] == ['mmdet_uot']
    stock.pop('custom_imports', None)
    assert ours == stock


def strings(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize('name', COLOR_BOXES)
def test_nothing_is_downloaded_unless_asked_for(name, load):
    cfg = load(name)
    assert cfg.model.backbone.get('init_cfg') is None
    assert cfg.get('load_from') is None
    assert not [text for text in strings(cfg.model) if '://' in text]
    # `tools/train.py --pretrained` offers what fits the backbone.
    if name in VGG:
        assert cfg.pretrained.type == 'Pretrained'
        assert cfg.pretrained.checkpoint == 'open-mmlab://vgg16_caffe'
    else:
        assert cfg.pretrained is None


@pytest.mark.parametrize('name', VGG)
def test_schedule_of_the_paper(name, load):
    cfg = load(name)
    assert cfg.train_cfg.max_epochs == 120
    assert cfg.optim_wrapper.optimizer.lr == 5e-4
    assert cfg.train_dataloader.dataset.get('num_images') is None


@pytest.fixture(scope='module')
def tiny(tmp_path_factory, load):
    """A checkpoint of an untrained model, as the runner saves it."""
    cfg = load('ssd300_uot_cpu')
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(copy.deepcopy(cfg.model))
        model.init_weights()
    classes = tuple(f'colour {index}' for index in range(20))
    meta = dict(
        cfg=cfg.pretty_text,
        dataset_meta=dict(classes=classes, palette=[(9, 9, 9)] * 20),
    )
    path = str(tmp_path_factory.mktemp('checkpoint') / 'tiny.pth')
    save_checkpoint(dict(state_dict=model.state_dict(), meta=meta), path)
    return path, classes


def test_det_inferencer(tiny, tmp_path):
    checkpoint, classes = tiny
    inferencer = DetInferencer(
        model=str(CONFIGS / 'ssd300_uot_cpu.py'),
        weights=checkpoint,
        device='cpu',
        show_progress=False,
    )
    assert inferencer.visualizer.dataset_meta['classes'] == classes
    image = np.random.default_rng(0).integers(0, 255, (200, 250, 3))
    results = inferencer(
        [image.astype(np.uint8)] * 2, batch_size=2, out_dir=str(tmp_path)
    )
    for prediction in results['predictions']:
        boxes = np.array(prediction['bboxes'])
        assert 0 < len(boxes) <= 200
        assert len(prediction['scores']) == len(boxes)
        assert set(prediction['labels']) <= set(range(20))
        assert boxes.min() >= 0
        assert boxes[:, 2].max() <= 250
        assert boxes[:, 3].max() <= 200
