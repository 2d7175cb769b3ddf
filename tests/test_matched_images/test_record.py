"""A record is the matching of the training, and leaves no trace."""

import copy
import random

import numpy as np
import pytest
import torch
from mmdet.models.task_modules.assigners import BaseAssigner
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch import nn

from mmdet_uot.assigners import UOTAssigner
from mmdet_uot.matched_images.record import record_matching

pytestmark = pytest.mark.slow

SMALL = {
    'model.backbone.depth': 18,
    'model.backbone.base_channels': 8,
    'model.backbone.init_cfg': None,
}
STOCK_HEAD = {'model.bbox_head.type': 'DETRHead'}
DINO = {
    **SMALL,
    'model.neck.in_channels': [16, 32, 64],
    'model.num_queries': 20,
    'model.encoder.num_layers': 1,
    'model.decoder.num_layers': 2,
}
FPN = {**SMALL, 'model.neck.in_channels': [8, 16, 32, 64]}
HUNGARIAN = {'model.train_cfg.assigner.type': 'HungarianAssigner'}
# The config, what differs, and the number of calls up to the last layer.
DETECTORS = {
    'SSD, unbalanced': ('mmdet_uot::ssd300_uot_cpu.py', {}, 1),
    'SSD, two stages': ('mmdet_uot::ssd300_two_stage_cpu.py', {}, 1),
    'DETR, balanced': ('mmdet_uot::detr_ot_cpu.py', {}, 1),
    'DETR, Hungarian': ('mmdet_uot::detr_hungarian_cpu.py', {}, 3),
    'DETR, balanced, stock head': (
        'mmdet_uot::detr_ot_cpu.py',
        STOCK_HEAD,
        3,
    ),
    'DETR, Hungarian, stock head': (
        'mmdet_uot::detr_hungarian_cpu.py',
        STOCK_HEAD,
        3,
    ),
    'Deformable DETR': ('mmdet_uot::deformable_detr_ot_cpu.py', {}, 1),
    'DINO': ('mmdet_uot::dino_ot_coco.py', DINO, 1),
    'DINO, Hungarian, stock head': (
        'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
        DINO,
        2,
    ),
    'RetinaNet': ('mmdet::_base_/models/retinanet_r50_fpn.py', FPN, 1),
    # Its assigner takes the ground truths as its third argument.
    'ATSS': ('mmdet::atss/atss_r50_fpn_1x_coco.py', FPN, 1),
    # Its priors are points.
    'YOLOX': ('mmdet::yolox/yolox_tiny_8xb8-300e_coco.py', {}, 1),
    # One assigner per stage.
    'Sparse R-CNN': (
        'mmdet::sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py',
        FPN,
        1,
    ),
}


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope='module')
def build(tmp_path_factory):
    models = {}

    def build(name):
        if name not in models:
            base, options, _ = DETECTORS[name]
            path = tmp_path_factory.mktemp('config') / 'config.py'
            path.write_text(f'_base_ = {base!r}')
            cfg = Config.fromfile(path)
            cfg.merge_from_dict(options)
            models[name] = MODELS.build(cfg.model).train()
            models[name].init_weights()
        return models[name]

    return build


@pytest.fixture
def sample():
    """One image of three ground truths."""
    batch = demo_mm_inputs(1, [[3, 300, 320]], num_items=[3], num_classes=20)
    boxes = [[10, 20, 90, 100], [100, 30, 180, 170], [20, 110, 70, 180]]
    instances = batch['data_samples'][0].gt_instances
    instances.bboxes = torch.tensor(boxes).float()
    return dict(
        inputs=batch['inputs'][0], data_samples=batch['data_samples'][0]
    )


def losses(model, sample):
    """Those of training, but for layers such as dropout."""
    data = copy.deepcopy(pseudo_collate([sample]))
    data = model.data_preprocessor(data, training=False)
    model.eval()
    model.training = True
    torch.manual_seed(1)
    with torch.no_grad():
        result = model(**data, mode='loss')
    model.train()
    return result


def spy(monkeypatch, seen, cls, method):
    original = getattr(cls, method)

    def call(self, *args, **kwargs):
        result = original(self, *args, **kwargs)
        seen.append(result)
        return result

    monkeypatch.setattr(cls, method, call)


def hard(weights):
    """1-based ground truths, 0 for background, -1 for ignored."""
    column = weights.argmax(1)
    ignored = weights.sum(1) == 0
    background = weights.shape[1] - 1
    gt_inds = np.where(column == background, 0, column + 1)
    return np.where(ignored, -1, gt_inds)


@pytest.mark.parametrize('name', DETECTORS)
def test_the_record_is_what_the_losses_are_computed_with(
    name, build, sample, monkeypatch
):
    model, calls = build(name), DETECTORS[name][2]
    plans, results = [], []
    with monkeypatch.context() as patch:
        spy(patch, plans, UOTAssigner, 'match')
        spy(patch, plans, UOTAssigner, 'match_layers')
        for cls in BaseAssigner.__subclasses__():
            if not issubclass(cls, UOTAssigner):
                spy(patch, results, cls, 'assign')
        losses(model, sample)
    torch.manual_seed(1)
    record = record_matching(model, sample)
    if plans:
        expected = plans[calls - 1].weights[-1].numpy()
        np.testing.assert_array_equal(record.weights, expected)
    else:
        gt_inds = results[calls - 1].gt_inds.numpy()
        np.testing.assert_array_equal(hard(record.weights), gt_inds)
        assert {*np.unique(record.weights)} <= {0, 1}
    assert (record.weights[:, :-1] > 0).any()


@pytest.mark.parametrize('name', DETECTORS)
def test_boxes_are_in_pixels_of_the_image(name, build, sample):
    record = record_matching(build(name), sample)
    gts = sample['data_samples'].gt_instances.bboxes
    assert torch.equal(record.gt_boxes, gts)
    assert record.pred_boxes.shape == (len(record.weights), 4)
    left, top, right, bottom = record.pred_boxes.T
    assert (left <= right).all()
    assert (top <= bottom).all()
    if name in ('SSD, unbalanced', 'RetinaNet', 'ATSS'):
        # Anchors lie as densely on either side of the middle.
        assert abs(((left + right) / 2).mean() - 160) < 10
        assert abs(((top + bottom) / 2).mean() - 150) < 10


@pytest.mark.parametrize('name', DETECTORS)
def test_nothing_is_changed(name, build, sample):
    model = build(name)

    class Restless(nn.Module):
        """Draws as denoising does, averages and normalises in place."""

        def __init__(self):
            super().__init__()
            self.register_buffer('average', torch.zeros(()))

        def forward(self, model, args, kwargs):
            kwargs['data_samples'][0].gt_instances.bboxes.mul_(0.5)
            self.average += torch.rand(()) + random.random()
            self.average += np.random.rand()

    model.restless = Restless()
    handle = model.register_forward_pre_hook(model.restless, with_kwargs=True)
    model.backbone.eval()
    before = copy.deepcopy((model.state_dict(), sample))
    flags = {module: module.training for module in model.modules()}
    assigners = find_assigners(model)
    states = random_states()
    record_matching(model, sample)
    record_matching(model, sample)
    torch.testing.assert_close(
        dict(model.state_dict()), dict(before[0]), rtol=0, atol=0
    )
    assert random_states() == states
    assert all(module.training == flags[module] for module in model.modules())
    assert find_assigners(model) == assigners != []
    old, new = before[1]['data_samples'], sample['data_samples']
    assert new.metainfo.keys() == old.metainfo.keys()
    assert torch.equal(new.gt_instances.bboxes, old.gt_instances.bboxes)
    assert torch.equal(sample['inputs'], before[1]['inputs'])
    handle.remove()
    del model.restless
    model.train()


def find_assigners(model):
    held = [x for m in model.modules() for x in vars(m).values()]
    held += [x for values in held if isinstance(values, list) for x in values]
    return [x for x in held if isinstance(x, BaseAssigner)]


def random_states():
    name, keys, *rest = np.random.get_state()
    return (
        torch.get_rng_state().tolist(),
        (name, keys.tolist(), *rest),
        random.getstate(),
    )


def test_the_image_is_that_of_the_sample(build, sample):
    image = record_matching(build('SSD, unbalanced'), sample).picture.rgb
    assert image.shape == (300, 320, 3)
    # BGR to RGB.
    assert np.array_equal(image[..., 0], sample['inputs'][2].numpy())


def test_everything_is_put_back_after_an_error(build, sample, monkeypatch):
    model = build('DETR, balanced')
    assigners = find_assigners(model)
    monkeypatch.setattr(
        model, 'loss', lambda *_: (_ for _ in ()).throw(RuntimeError('halt'))
    )
    with pytest.raises(RuntimeError, match='halt'):
        record_matching(model, sample)
    assert find_assigners(model) == assigners
    assert all(module.training for module in model.modules())


def test_what_cannot_be_recorded_is_an_error(build, sample):
    model = build('RetinaNet')
    assigner = model.bbox_head.assigner
    try:
        model.bbox_head.assigner = None
        model.loss = lambda *_: {}
        with pytest.raises(ValueError, match='RetinaNet has no assigner'):
            record_matching(model, sample)
    finally:
        model.bbox_head.assigner = assigner
        del model.loss
    del sample['data_samples'].gt_instances
    with pytest.raises(ValueError, match='add LoadAnnotations'):
        record_matching(model, sample)
