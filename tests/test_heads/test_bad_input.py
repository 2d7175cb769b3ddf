"""What heads make of predictions and ground truths that are broken."""

import math

import pytest
import torch
from helpers.boxes import random_boxes
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.structures import InstanceData

from mmdet_uot.heads import UOTSSDHead

pytestmark = pytest.mark.slow

COSTS = [
    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
    dict(type='IoUCost', iou_mode='giou', weight=2.0),
]
FOCAL = dict(loss_cls=dict(type='FocalLoss', use_sigmoid=True))
TWO_STAGE = dict(**FOCAL, as_two_stage=True, num_pred_layer=3)
HEADS = {
    'UOTDETRHead': {},
    'UOTConditionalDETRHead': FOCAL,
    'UOTDeformableDETRHead': TWO_STAGE,
    'UOTDINOHead': TWO_STAGE,
}
PATHS = [f'train/{image}.png' for image in range(3)]
BAD = [math.nan, math.inf, -math.inf, 1e30, -3e38]


def detr(name):
    cost = 'FocalLossCost' if HEADS[name] else 'ClassificationCost'
    assigner = dict(
        type='SinkhornAssigner', match_costs=[dict(type=cost), *COSTS]
    )
    return MODELS.build(
        dict(
            type=name,
            num_classes=4,
            train_cfg=dict(assigner=assigner),
            **HEADS[name],
        )
    )


class Detr:
    """Random outputs of two decoder layers for three images."""

    def __init__(self, name):
        self.head = detr(name)
        generator = torch.Generator().manual_seed(0)
        C = self.head.cls_out_channels
        self.scores = torch.randn(2, 3, 46, C, generator=generator)
        self.boxes = torch.rand(2, 3, 46, 4, generator=generator) / 2 + 0.2
        self.proposals = []
        self.more = []
        if HEADS[name] is TWO_STAGE:
            self.proposals = [self.scores[0].clone(), self.boxes[0].clone()]
        if name == 'UOTDINOHead':
            # Two groups of a positive and a negative for each ground truth.
            denoising = dict(num_denoising_queries=16, num_denoising_groups=2)
            self.more = [denoising]
        self.gts = []
        for count in (3, 2, 4):
            boxes = random_boxes(count, generator, corner=100, side=(30, 30))
            labels = torch.arange(count) % 4
            self.gts.append(InstanceData(bboxes=boxes, labels=labels))
        self.metas = [dict(img_shape=(200, 200), img_path=x) for x in PATHS]

    def losses(self):
        """Their sum, and its gradients by all inputs."""
        leaves = [
            x.clone().requires_grad_()
            for x in (self.scores, self.boxes, *self.proposals)
        ]
        losses = self.head.loss_by_feat(
            *leaves, self.gts, self.metas, *self.more
        )
        total = sum(losses.values())
        return total, torch.autograd.grad(total, leaves)


@pytest.fixture(params=HEADS)
def outputs(request):
    return Detr(request.param)


PLACES = {
    'a number': (slice(None), 1, 20, 2),
    'a row': (slice(None), 1, slice(14, 19)),
    'a column': (slice(None), 1, slice(None), 2),
    'an image': (slice(None), 1),
    'an image in one layer': (0, 1),
}


@pytest.mark.parametrize('value', BAD)
@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('name', ['scores', 'boxes'])
def test_bad_predictions_spoil_no_other_image(
    name, place, value, outputs, log
):
    _, clean = outputs.losses()
    assert not log
    getattr(outputs, name)[PLACES[place]] = value
    if outputs.proposals and not isinstance(PLACES[place][0], int):
        which = ('scores', 'boxes').index(name)
        outputs.proposals[which][PLACES[place][1:]] = value
    total, grads = outputs.losses()
    assert total.isfinite()
    for grad, expected in zip(grads, clean):
        assert grad.isfinite().all()
        # Images are the last axis but two.
        others = [
            x.select(-3, image) for x in (grad, expected) for image in (0, 2)
        ]
        torch.testing.assert_close(others[:2], others[2:])
    spoiled = grads[0] if name == 'scores' else grads[1]
    assert (spoiled[PLACES[place]] == 0).all()
    assert all(line.startswith(PATHS[1]) for line in log)
    assert any(f' of {name}; they count as 0 in' in line for line in log)


def test_a_dead_model_shows_in_the_loss_without_a_gradient(outputs):
    outputs.scores.fill_(math.nan)
    total, grads = outputs.losses()
    assert total.isnan()
    assert (grads[0] == 0).all()
    assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize('value', BAD)
def test_a_box_that_is_not_finite_is_as_if_absent(value, outputs, log):
    if outputs.more:
        # The denoising queries are of all ground truths.
        outputs.more = [dict(num_denoising_queries=0)]
        outputs.head.split_outputs = lambda x, y, _: (x, y, None, None)
    keep = torch.tensor([0, 2])
    complete = outputs.gts[0]
    outputs.gts[0] = complete[keep]
    expected, expected_grads = outputs.losses()
    assert not log
    outputs.gts[0] = complete
    complete.bboxes[1] = value
    total, grads = outputs.losses()
    assert log
    assert all(line.startswith(PATHS[0]) for line in log)
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(grads, expected_grads)


@pytest.mark.parametrize('value', BAD)
def test_denoising_queries_of_such_a_box_have_no_loss(value):
    outputs = Detr('UOTDINOHead')
    outputs.gts[0].bboxes[1, 2] = value
    total, grads = outputs.losses()
    assert total.isfinite()
    # Positives of two groups, before four negatives each.
    of_groups = torch.tensor([0, 8])
    for grad in grads[:2]:
        assert grad.isfinite().all()
        assert (grad[:, 0, of_groups + 1] == 0).all()
        assert (grad[:, 0, of_groups + 2] != 0).any()


@pytest.mark.parametrize('label', [-1, 4])
def test_a_label_that_is_no_class_is_refused(label, outputs):
    outputs.gts[1].labels[0] = label
    message = rf'labels must be in \[0, 4\).* got {label} in train/1\.png'
    with pytest.raises(ValueError, match=message):
        outputs.losses()


@pytest.mark.parametrize('label', [-1, 4])
def test_ssd_refuses_it_too(label, config, soft, make_scene):
    scene = make_scene(num_gts=[2, 3])
    scene.gts[1].labels[2] = label
    with pytest.raises(ValueError, match=f'got {label} in image 1'):
        scene.losses(UOTSSDHead(**config(soft)))


@pytest.fixture(params=['encoded', 'decoded'])
def ssd_options(request):
    """What the box loss is of."""
    if request.param == 'encoded':
        return {}
    loss = dict(loss_bbox=dict(type='GIoULoss'))
    return dict(reg_decoded_bbox=True, loss=loss)


@pytest.mark.parametrize('value', BAD)
@pytest.mark.parametrize('name', ['scores', 'deltas'])
def test_ssd_with_bad_predictions(
    name, value, config, soft, ssd_options, make_scene, log
):
    scene = make_scene(num_gts=[5, 3, 0])
    head = UOTSSDHead(**config(soft), **ssd_options)
    clean, clean_grads = scene.losses(head)
    assert not log
    for place in ((1, 2, 3), (1, slice(None), 3), (1,)):
        getattr(scene, name)[0][place] = value
        values, grads = scene.losses(head)
        for key, of_images in clean.items():
            assert values[key][1].isfinite()
            for image in (0, 2):
                torch.testing.assert_close(
                    values[key][image], of_images[image]
                )
        for grad, expected in zip(grads, clean_grads):
            assert grad.isfinite().all()
            torch.testing.assert_close(grad[[0, 2]], expected[[0, 2]])
    text = f' of {"scores" if name == "scores" else "boxes"}; they count as 0'
    assert len(log) == 3
    for line in log:
        assert line.startswith('image 1 of the batch: ')
        assert text in line


@pytest.mark.parametrize('name', ['scores', 'deltas'])
def test_a_dead_ssd_shows_in_the_loss(name, config, soft, make_scene):
    scene = make_scene(num_gts=[5, 3, 0])
    for tensor in getattr(scene, name):
        tensor.fill_(math.nan)
    values, grads = scene.losses(UOTSSDHead(**config(soft)))
    key = 'loss_cls' if name == 'scores' else 'loss_bbox'
    assert sum(values[key]).isnan()
    assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize(
    'boxes',
    [
        [[20, 20, 20, 20]],
        [[40, 40, 20, 60]],
        [[-500, -500, -400, -400]],
        [[20, 20, math.nan, 60]],
        [[20, 20, math.inf, 60]],
        [[-math.inf, -math.inf, math.inf, math.inf]],
        [[20, 20, 1e30, 60]],
    ],
)
def test_ssd_with_bad_ground_truths(
    boxes, config, assigner, ssd_options, make_scene
):
    scene = make_scene(num_gts=[5, 1, 0])
    scene.gts[1].bboxes = torch.tensor(boxes, dtype=torch.float)
    values, grads = scene.losses(UOTSSDHead(**config(assigner), **ssd_options))
    assert all(value.isfinite().all() for value in values['loss_cls'])
    assert all(value.isfinite() for value in values['loss_bbox'])
    assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize('boxes', [[20, 20, 20, 60], [20, 20, math.nan, 60]])
def test_for_ssd_a_ground_truth_without_a_box_is_as_if_absent(
    boxes, config, soft, make_scene
):
    scene = make_scene(num_gts=[5, 4, 0])
    head = UOTSSDHead(**config(soft))
    complete = scene.gts[1]
    scene.gts[1] = complete[:3]
    expected, expected_grads = scene.losses(head)
    scene.gts[1] = complete
    complete.bboxes[3] = torch.tensor(boxes)
    values, grads = scene.losses(head)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(grads, expected_grads)


def test_an_image_that_is_skipped_adds_nothing():
    """To our heads and to heads with anchors of mmdet."""
    skip = dict(type='UOTAssigner', bad_costs='skip')
    gts = [
        InstanceData(
            bboxes=torch.tensor([[10.0, 10, 50, 50]]),
            labels=torch.zeros(1, dtype=torch.int64),
        )
        for _ in PATHS
    ]
    gts[1].bboxes[0, 0] = math.nan
    metas = [dict(img_shape=(96, 96), pad_shape=(96, 96))] * 3
    stock = MODELS.build(
        dict(
            type='RetinaHead',
            num_classes=4,
            in_channels=8,
            anchor_generator=dict(
                type='AnchorGenerator',
                strides=[16],
                ratios=[1.0],
                scales=[2.0],
            ),
            train_cfg=dict(assigner=skip, allowed_border=-1, pos_weight=-1),
        )
    )
    decoder = detr('UOTDETRHead')
    decoder.assigner = TASK_UTILS.build(skip)
    inputs = [torch.randn(3, 4, 6, 6), torch.randn(3, 4, 6, 6)]
    queries = [torch.randn(2, 3, 9, 5), torch.rand(2, 3, 9, 4)]
    for head, leaves, axis in ((stock, inputs, 0), (decoder, queries, 1)):
        for leaf in leaves:
            leaf.requires_grad_()
        given = leaves if head is decoder else [[leaf] for leaf in leaves]
        losses = head.loss_by_feat(*given, gts, metas).values()
        total = sum(sum(x) if isinstance(x, list) else x for x in losses)
        for grad in torch.autograd.grad(total, leaves):
            assert (grad.select(axis, 1) == 0).all()
            assert (grad.select(axis, 0) != 0).any()
