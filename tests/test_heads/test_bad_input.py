"""What heads make of predictions and ground truths that are broken."""

import math

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.structures import InstanceData

from mmdet_uot.heads import UOTSSDHead

COSTS = [
    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
    dict(type='IoUCost', iou_mode='giou', weight=2.0),
]
HEADS = {
    'UOTDETRHead': 'ClassificationCost',
    'UOTConditionalDETRHead': 'FocalLossCost',
}


def detr(name):
    costs = [dict(type=HEADS[name]), *COSTS]
    assigner = dict(type='SinkhornAssigner', match_costs=costs)
    loss = {}
    if name != 'UOTDETRHead':
        loss = dict(loss_cls=dict(type='FocalLoss', use_sigmoid=True))
    return MODELS.build(
        dict(
            type=name,
            num_classes=4,
            train_cfg=dict(assigner=assigner),
            **loss,
        )
    )


class Detr:
    """Random outputs of two decoder layers for three images."""

    def __init__(self, name):
        self.head = detr(name)
        generator = torch.Generator().manual_seed(0)
        C = self.head.cls_out_channels
        self.scores = torch.randn(2, 3, 30, C, generator=generator)
        self.boxes = torch.rand(2, 3, 30, 4, generator=generator) / 2 + 0.2
        self.gts = []
        for count in (3, 2, 4):
            corner = torch.rand(count, 2, generator=generator) * 100
            boxes = torch.cat([corner, corner + 30], 1)
            labels = torch.arange(count) % 4
            self.gts.append(InstanceData(bboxes=boxes, labels=labels))
        self.metas = [dict(img_shape=(200, 200))] * 3

    def losses(self):
        leaves = [
            x.clone().requires_grad_() for x in (self.scores, self.boxes)
        ]
        losses = self.head.loss_by_feat(*leaves, self.gts, self.metas)
        total = sum(losses.values())
        return total, torch.autograd.grad(total, leaves)


@pytest.fixture(params=HEADS)
def outputs(request):
    return Detr(request.param)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('name', ['scores', 'boxes'])
def test_bad_predictions_leave_a_finite_loss(name, value, outputs):
    getattr(outputs, name)[:, 1, 5:9] = value
    total, grads = outputs.losses()
    assert total.isfinite()
    for grad in grads:
        assert grad.isfinite().all()
        assert (grad[:, 0] != 0).any()
    spoiled = grads[0] if name == 'scores' else grads[1]
    assert (spoiled[:, 1, 5:9] == 0).all()


def test_a_dead_model_shows_in_the_loss(outputs):
    outputs.scores.fill_(math.nan)
    total, _ = outputs.losses()
    assert total.isnan()


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_box_that_is_not_finite_is_as_if_absent(value, outputs):
    keep = torch.tensor([0, 2])
    complete = outputs.gts[0]
    outputs.gts[0] = complete[keep]
    expected, expected_grads = outputs.losses()
    outputs.gts[0] = complete
    complete.bboxes[1] = value
    total, grads = outputs.losses()
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(grads, expected_grads)


@pytest.mark.parametrize('label', [-1, 4])
def test_a_label_that_is_no_class_is_refused(label, outputs, make_scene):
    outputs.gts[1].labels[0] = label
    message = rf'labels must be in \[0, 4\).* got {label} in image 1'
    with pytest.raises(ValueError, match=message):
        outputs.losses()


@pytest.mark.parametrize('label', [-1, 4])
def test_ssd_refuses_it_too(label, config, soft, make_scene):
    scene = make_scene(num_gts=[2, 3])
    scene.gts[1].labels[2] = label
    with pytest.raises(ValueError, match=f'got {label} in image 1'):
        scene.losses(UOTSSDHead(**config(soft)))


@pytest.mark.parametrize('name', ['scores', 'deltas'])
def test_ssd_with_bad_predictions(name, config, soft, make_scene):
    scene = make_scene(num_gts=[5, 3, 0])
    head = UOTSSDHead(**config(soft))
    getattr(scene, name)[0][1, :, :3] = math.nan
    values, grads = scene.losses(head)
    assert sum(values['loss_cls']).isfinite()
    assert sum(values['loss_bbox']).isfinite()
    assert all(grad.isfinite().all() for grad in grads)
    for tensor in getattr(scene, name):
        tensor.fill_(math.nan)
    values, _ = scene.losses(head)
    assert not (
        sum(values['loss_cls']).isfinite()
        and sum(values['loss_bbox']).isfinite()
    )


@pytest.mark.parametrize(
    'boxes',
    [
        [[20, 20, 20, 20]],
        [[40, 40, 20, 60]],
        [[-500, -500, -400, -400]],
        [[20, 20, math.nan, 60]],
        [[20, 20, math.inf, 60]],
    ],
)
def test_ssd_with_bad_ground_truths(boxes, config, assigner, make_scene):
    scene = make_scene(num_gts=[5, 1, 0])
    scene.gts[1].bboxes = torch.tensor(boxes, dtype=torch.float)
    values, grads = scene.losses(UOTSSDHead(**config(assigner)))
    assert all(value.isfinite().all() for value in values['loss_cls'])
    assert all(value.isfinite() for value in values['loss_bbox'])
    assert all(grad.isfinite().all() for grad in grads)
