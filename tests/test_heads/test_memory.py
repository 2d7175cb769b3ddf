"""What matching and loss hold beside the outputs of the model."""

import math

import pytest
import torch
from benchmarking.memory import peak_memory
from helpers.boxes import random_boxes
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmdet_uot._config_scope import config_folder
from mmdet_uot.assigners import UOTAssigner
from mmdet_uot.inputs.from_decoder import TensorBatch

pytestmark = pytest.mark.slow

CPU = torch.device('cpu')
# What does not grow with the batch: a few images' overlaps.
CONSTANT = 2**25
BOX_COSTS = [
    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
    dict(type='OneMinusIoUCost', iou_mode='giou'),
]
COSTS = {
    'focal': dict(type='FocalLossCost'),
    'softmax': dict(type='OneMinusProbCost'),
}
MATCHERS = {
    'unbalanced': {},
    'unscaled': dict(cost_scaling='none', epsilon=1e-3),
    'hungarian': dict(preset='hungarian'),
    'two stages': dict(preset='ssd_two_stage'),
    'dual softmax': dict(preset='dual_softmax'),
    'support': dict(epsilon_rule='support'),
}


def ground_truths(images, count, size, num_classes):
    generator = torch.Generator().manual_seed(0)
    gts = []
    for _ in range(images):
        boxes = random_boxes(
            count, generator, corner=size - 100, side=(10, 100)
        )
        labels = torch.arange(count) % num_classes
        gts.append(InstanceData(bboxes=boxes, labels=labels))
    return gts


def test_ssd512_with_two_hundred_objects():
    """An eighth of a batch of 16 images, the budget and 1.5 GB."""
    images, size = 2, 512
    config = Config.fromfile(config_folder() / 'ssd512_uot.py').model
    budget = UOTAssigner().memory_budget // 8
    config.train_cfg.assigner.memory_budget = budget
    head = MODELS.build(
        dict(config.bbox_head, train_cfg=config.train_cfg, test_cfg=None)
    )
    outputs = [
        [
            torch.randn(images, anchors * channels, side, side)
            for anchors, side in zip(
                head.prior_generator.num_base_priors, (64, 32, 16, 8, 4, 2, 1)
            )
        ]
        for channels in (head.cls_out_channels, 4)
    ]
    leaves = [level.requires_grad_() for level in sum(outputs, [])]
    gts = ground_truths(images, 200, size, head.num_classes)
    metas = [dict(img_shape=(size, size), pad_shape=(size, size))] * images

    def step():
        losses = head.loss_by_feat(*outputs, gts, metas)
        total = sum(losses['loss_cls']).sum() + sum(losses['loss_bbox'])
        return torch.autograd.grad(total, leaves)

    gradients = 4 * images * 24_564 * (head.cls_out_channels + 4)
    assert gradients < peak_memory(step, CPU) < 1.5e9 / 8


@pytest.mark.parametrize('bad', [False, True])
@pytest.mark.parametrize('term', COSTS)
@pytest.mark.parametrize('name', MATCHERS)
@pytest.mark.parametrize('num_classes, num_gts', [(150, 10), (10, 100)])
def test_no_more_than_the_formula_says(num_classes, num_gts, name, term, bad):
    images, size = 20, 800
    corner, side = torch.rand(2, 1, images, 900, 2)
    boxes = torch.cat((700 * corner, 700 * corner + 10 + 90 * side), -1)
    scores = torch.randn(1, images, 900, num_classes)
    if bad:
        scores[:, :, 5] = math.nan
    gts = ground_truths(images, num_gts, size, num_classes)
    metas = [dict(img_shape=(size, size))] * images
    arguments = scores, boxes, gts, metas
    assigner = UOTAssigner(
        match_costs=[COSTS[term], *BOX_COSTS], **MATCHERS[name]
    )
    entry = TensorBatch(*arguments).entry_bytes(assigner.solver.copies)
    assigner.memory_budget = images * entry // 4
    peak = peak_memory(lambda: assigner.match_layers(*arguments), CPU)
    plan = 4 * images * 900 * (num_gts + 1)
    assert peak < assigner.memory_budget + plan + CONSTANT
