import copy

import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdet_uot.explain.export import ask_model
from mmdet_uot.matched_images.detector import build_detector

SMALL_RETINANET = {
    'model.backbone.depth': 18,
    'model.backbone.base_channels': 8,
    'model.backbone.init_cfg': None,
    'model.neck.in_channels': [8, 16, 32, 64],
    'model.neck.out_channels': 8,
    'model.bbox_head.in_channels': 8,
    'model.bbox_head.feat_channels': 8,
    'model.bbox_head.num_classes': 3,
}
UOT = dict(type='UOTAssigner')
# The config, what differs, and the options of the assigner.
DETECTORS = {
    'SSD': ('mmdet_uot::ssd300_uot_cpu.py', {}, UOT),
    'SSD, closest': (
        'mmdet_uot::ssd300_uot_cpu.py',
        {},
        dict(UOT, preset='closest_ground_truth'),
    ),
    'SSD, candidates': (
        'mmdet_uot::ssd300_uot_cpu.py',
        {},
        dict(
            UOT, candidates=dict(type='InsideBox', priors='boxes'), gt_mass=3
        ),
    ),
    'SSD, range': (
        'mmdet_uot::ssd300_uot_cpu.py',
        {},
        dict(UOT, gt_mass=(1, 3)),
    ),
    'SSD, weights': (
        'mmdet_uot::ssd300_uot_cpu.py',
        {},
        dict(UOT, gt_mass='weight'),
    ),
    'SSD, at least': (
        'mmdet_uot::ssd300_uot_cpu.py',
        {},
        dict(UOT, gt_mass=(1, 'inf'), tau1='inf', tau2='inf'),
    ),
    'SSD, stock': ('mmdet_uot::ssd300_two_stage_cpu.py', {}, None),
    'DETR': (
        'mmdet_uot::detr_ot_cpu.py',
        {},
        dict(
            UOT,
            match_costs=dict(type='OneMinusIoUCost', iou_mode='giou'),
            background_cost=0.3,
        ),
    ),
    'DETR, IoU above': (
        'mmdet_uot::detr_ot_cpu.py',
        {},
        dict(
            UOT,
            match_costs=dict(type='OneMinusIoUCost', iou_mode='giou'),
            candidates=dict(type='IoUAbove', threshold=0.1),
            gt_mass=(0, 2),
        ),
    ),
    'DETR, stock': ('mmdet_uot::detr_hungarian_cpu.py', {}, None),
    'RetinaNet': (
        'mmdet::_base_/models/retinanet_r50_fpn.py',
        SMALL_RETINANET,
        UOT,
    ),
    'RetinaNet, stock': (
        'mmdet::_base_/models/retinanet_r50_fpn.py',
        SMALL_RETINANET,
        None,
    ),
}
# Large and small, narrow, doubled, without area.
BOXES = [
    [10, 20, 90, 100],
    [100, 30, 180, 170],
    [20, 110, 26, 118],
    [200, 200, 212, 290],
    [12, 22, 92, 100],
    [50, 50, 50, 60],
]


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(scope='session')
def build(tmp_path_factory):
    """A detector of DETECTORS, and its assigner with a setting applied."""
    models = {}

    def build(name, **setting):
        base, options, assigner = DETECTORS[name]
        if name not in models:
            path = tmp_path_factory.mktemp('config') / 'config.py'
            path.write_text(f'_base_ = {base!r}')
            cfg = Config.fromfile(path)
            cfg.merge_from_dict(options)
            if assigner is not None:
                cfg.model.train_cfg.assigner = assigner
            torch.manual_seed(0)
            models[name] = build_detector(cfg)
        if assigner is not None:
            models[name].bbox_head.assigner = TASK_UTILS.build(
                dict(assigner, **setting)
            )
        return models[name]

    return build


@pytest.fixture
def sample():
    batch = demo_mm_inputs(
        1, [[3, 300, 300]], num_items=[len(BOXES)], num_classes=3
    )
    (data,) = batch['data_samples']
    data.gt_instances.bboxes = torch.tensor(BOXES).float()
    return dict(inputs=batch['inputs'][0], data_samples=data)


@pytest.fixture
def ask(build, sample):
    """The question of a detector, its objects as they are or others."""

    def ask(name, boxes=None, **setting):
        asked = copy.deepcopy(sample)
        if boxes is not None:
            gts = asked['data_samples'].gt_instances
            new = gts.new(bboxes=boxes, labels=torch.zeros(len(boxes)).long())
            asked['data_samples'].gt_instances = new
        torch.manual_seed(1)
        return ask_model(build(name, **setting), asked)

    return ask
