"""SSD's head under any plan; the parity with mmdet's is in its own file."""

import copy
import io
import math
import pickle

import pytest
import torch
from mmdet.models import SingleStageDetector
from mmdet.models.dense_heads import SSDHead
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData

from mmdet_uot.heads import UOTSSDHead

UOT = dict(type='UOTAssigner')
SIZE, SHAPES = 96, [(6, 6), (3, 3)]


@pytest.mark.parametrize('name', ['GIoULoss', 'IoULoss', 'DIoULoss'])
def test_iou_losses_of_decoded_boxes(name, assigner, make_scene, config):
    scene = make_scene([5, 0, 9])
    loss = dict(type='UOTMultiBoxLoss', loss_bbox=dict(type=name))
    head = UOTSSDHead(**config(assigner), reg_decoded_bbox=True, loss=loss)
    values, grads = scene.losses(head)
    assert 0 < sum(values['loss_bbox']) < 10
    assert all(grad.isfinite().all() for grad in grads)


def test_soft_plans_give_finite_losses_and_gradients(scene, soft, config):
    values, grads = scene.losses(UOTSSDHead(**config(soft)))
    for image, gts in enumerate(scene.gts):
        for name in ('loss_cls', 'loss_bbox'):
            value = values[name][image]
            assert value.isfinite().all()
            assert (value >= 0) if len(gts) else (value == 0)
    assert all(grad.isfinite().all() for grad in grads)


GIOU = dict(
    reg_decoded_bbox=True,
    loss=dict(type='UOTMultiBoxLoss', loss_bbox=dict(type='GIoULoss')),
)


@pytest.mark.parametrize('head', [{}, GIOU], ids=['encoded', 'decoded'])
@pytest.mark.parametrize('flat', [(2,), (3,), (2, 3)], ids=str)
@pytest.mark.parametrize('num_gts', [1, 6])
def test_boxes_of_zero_area_give_finite_losses(
    num_gts, flat, head, assigner, make_scene, config
):
    scene = make_scene([num_gts, 2])
    for axis in flat:
        scene.gts[0].bboxes[0, axis] = scene.gts[0].bboxes[0, axis - 2]
    values, grads = scene.losses(UOTSSDHead(**config(assigner), **head))
    for value in values['loss_cls'] + values['loss_bbox']:
        assert value.isfinite().all()
    assert all(grad.isfinite().all() for grad in grads)


def test_losses_of_an_image_do_not_depend_on_its_batch(
    assigner, make_scene, config
):
    """But for the average, which is over the batch."""
    scene = make_scene(
        [3, 5, 0, 2], pad=[(64, 96), (96, 48), (32, 32), (96, 96)]
    )
    head = UOTSSDHead(**config(assigner))
    values, _ = scene.losses(head)
    ratios = []
    for image in range(4):
        alone = make_scene([0])
        alone.gts, alone.metas = scene.gts[image:][:1], scene.metas[image:][:1]
        alone.scores = [x[image:][:1] for x in scene.scores]
        alone.deltas = [x[image:][:1] for x in scene.deltas]
        single, _ = alone.losses(head)
        for name in ('loss_cls', 'loss_bbox'):
            if len(alone.gts[0]):
                ratios.append(single[name][0] / values[name][image])
            else:
                assert single[name][0] == values[name][image] == 0
        if len(ratios) > 1:
            torch.testing.assert_close(
                ratios[-1].view(()), ratios[-2].view(()), rtol=1e-3, atol=0
            )


def test_anchors_outside_of_the_padded_image_take_no_part(make_scene, config):
    scene = make_scene([4, 4], pad=[(96, 96), (96, 48)])
    _, grads = scene.losses(UOTSSDHead(**config(UOT)))
    halves = [grad[..., math.ceil(grad.shape[-1] / 2) :] for grad in grads]
    assert all((half[1] == 0).all() for half in halves)
    assert any((half[0] != 0).any() for half in halves)


def test_no_anchor_inside_is_an_error(make_scene, config):
    scene = make_scene([1], pad=[(5, 6)])
    head = UOTSSDHead(**config(UOT, allowed_border=0))
    with pytest.raises(ValueError, match='no anchor lies inside the image'):
        scene.losses(head)


def test_anchors_are_made_once_per_feature_size(
    monkeypatch, make_scene, config
):
    head = UOTSSDHead(**config(UOT))
    calls = []
    stock = head.prior_generator.grid_priors

    def grid_priors(sizes, *args, **kwargs):
        calls.append(sizes)
        return stock(sizes, *args, **kwargs)

    monkeypatch.setattr(head.prior_generator, 'grid_priors', grid_priors)
    scene = make_scene([2, 3], pad=[(96, 96), (64, 96)])
    first, _ = scene.losses(head)
    for _ in range(3):
        again, _ = scene.losses(head)
    assert len(calls) == 1
    assert first == again

    # Another feature size, then back: made anew, and the same.
    small = make_scene([2], pad=[(64, 96)])
    small.scores = [x[..., : x.shape[-1] // 2] for x in small.scores]
    small.deltas = [x[..., : x.shape[-1] // 2] for x in small.deltas]
    small.losses(head)
    assert len(calls) == 2
    again, _ = scene.losses(head)
    assert first == again


def test_shapes_of_images_are_not_remembered_without_end(config):
    grid = UOTSSDHead(**config(UOT)).grid_anchors
    device = torch.device('cpu')
    first = dict(img_shape=(40, 40), pad_shape=(40, 40))
    for width in range(40, 40 + 500):
        shape = (40, 96 - width % 50), (40, width)
        meta = dict(img_shape=shape[0], pad_shape=shape[1])
        kept = grid.inside(SHAPES, first, device)
        assert grid.inside(SHAPES, first, device) is kept
        grid.inside(SHAPES, meta, device)
    assert len(grid._inside) <= 64


@pytest.mark.parametrize('budget', [2**29, 1])
@pytest.mark.parametrize('border', [-1, 0])
def test_a_background_per_anchor_is_that_of_the_anchor(
    border, budget, make_scene, config
):
    """Also behind anchors that lie outside of an image."""
    scene = make_scene([4, 0, 5], pad=[(64, 64), (96, 96), (96, 48)])
    generator = torch.Generator().manual_seed(0)
    background = 0.2 + 0.7 * torch.rand(270, generator=generator)
    options = dict(UOT, background_cost=background.tolist())
    head = UOTSSDHead(
        **config(dict(options, memory_budget=budget), allowed_border=border)
    )
    plans = []
    pairs = head.loss_module.box_pairs
    head.loss_module.box_pairs = lambda plan: plans.append(plan) or pairs(plan)
    scene.losses(head)
    device = torch.device('cpu')
    anchors = head.grid_anchors.anchors(SHAPES, device)
    counts = set()
    for image, (gts, meta) in enumerate(zip(scene.gts, scene.metas)):
        kept = head.grid_anchors.inside(SHAPES, meta, device)
        flags = torch.ones(270).bool() if kept is None else kept.flags
        counts.add(int(flags.sum()))
        options['background_cost'] = background[flags].tolist()
        expected = TASK_UTILS.build(options).match(
            [InstanceData(priors=anchors[flags])], [gts]
        )
        torch.testing.assert_close(
            plans[0].foreground[image, flags, : len(gts)],
            expected.foreground[0],
        )
        assert (plans[0].weights[image, ~flags] == 0).all()
    assert len(counts) == 3


def test_a_stock_head_says_why_it_cannot_have_one(make_scene, config):
    scene = make_scene([4], pad=[(64, 64)])
    backgrounds = [(0.5, 6 * 36), (0.4, 6 * 9)]
    assigner = dict(UOT, background_cost=backgrounds)
    with pytest.raises(ValueError, match='give one number, or set allowed_'):
        scene.losses(SSDHead(**config(assigner)))


def test_box_objects(make_scene, config):
    scene = make_scene([4, 0, 2], num_ignored=1)
    head = UOTSSDHead(**config(dict(UOT, ignore_iof_thr=0.4)))
    expected, _ = scene.losses(head)
    for instances in (*scene.gts, *scene.ignore):
        instances.bboxes = HorizontalBoxes(instances.bboxes)
    values, _ = scene.losses(head)
    assert values == expected


def test_autocast(assigner, make_scene, config):
    scene = make_scene([5, 0, 9])
    head = UOTSSDHead(**config(assigner))
    expected, _ = scene.losses(head)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        same, _ = scene.losses(head)
        scene.scores = [x.bfloat16() for x in scene.scores]
        scene.deltas = [x.bfloat16() for x in scene.deltas]
        half, grads = scene.losses(head)
    assert all(grad.isfinite().all() for grad in grads)
    for name in expected:
        for x, y, z in zip(expected[name], same[name], half[name]):
            torch.testing.assert_close(y, x, rtol=1e-6, atol=1e-7)
            assert z.dtype == torch.float32
            torch.testing.assert_close(z, x, rtol=1e-2, atol=1e-3)


def features(batch=2):
    generator = torch.Generator().manual_seed(5)
    return [
        torch.randn((batch, 8, *shape), generator=generator)
        for shape in SHAPES
    ]


def test_predicts_what_the_stock_head_should(make_scene, config):
    ours = UOTSSDHead(**config(UOT))
    stock = SSDHead(**config(UOT))
    ours.init_weights()
    stock.load_state_dict(ours.state_dict())
    stock.loss_cls = None  # without it the stock head fails
    metas = make_scene([0, 0]).metas
    results = [
        head.predict_by_feat(*head(features()), batch_img_metas=metas)
        for head in (ours, stock)
    ]
    assert len(results[0]) == 2
    for actual, expected in zip(*results):
        assert len(actual) > 0
        assert actual.bboxes.shape == (len(actual), 4)
        for name in ('bboxes', 'scores', 'labels'):
            assert torch.equal(actual.get(name), expected.get(name))
        assert actual.labels.max() < 4


def test_checkpoints_are_interchangeable(config):
    ours = UOTSSDHead(**config(UOT)).state_dict()
    stock = SSDHead(**config(UOT)).state_dict()
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in stock.items()
    }


def copied(head):
    return copy.deepcopy(head)


def pickled(head):
    return pickle.loads(pickle.dumps(head))


def saved(head):
    file = io.BytesIO()
    torch.save(head, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize('duplicate', [copied, pickled, saved])
@pytest.mark.parametrize('used', [False, True])
def test_duplicates_give_the_same_losses(used, duplicate, make_scene, config):
    head = UOTSSDHead(**config(UOT))
    scene = make_scene([4, 0, 2])
    if used:
        scene.losses(head)
    twin = duplicate(head)
    assert scene.losses(twin)[0] == scene.losses(head)[0]


def test_a_head_for_inference_needs_no_train_cfg(make_scene, config):
    head = UOTSSDHead(**dict(config(UOT), train_cfg=None))
    trained = UOTSSDHead(**config(UOT))
    head.load_state_dict(trained.state_dict())
    metas = make_scene([0, 0]).metas
    results = [
        x.predict_by_feat(*x(features()), batch_img_metas=metas)
        for x in (head, trained)
    ]
    for actual, expected in zip(*results):
        assert torch.equal(actual.bboxes, expected.bboxes)


def test_misspelt_options_are_errors(config):
    with pytest.raises(TypeError, match='assigner_type'):
        UOTSSDHead(**config(UOT), assigner_type='UOTAssigner')


class Levels(torch.nn.Module):
    """Features of the right sizes, from an average of the image."""

    def __init__(self, *args, **kwargs):
        super().__init__()
        self.project = torch.nn.Conv2d(3, 8, 1)

    def forward(self, image):
        pool = torch.nn.functional.adaptive_avg_pool2d
        return [self.project(pool(image, shape)) for shape in SHAPES]


@pytest.fixture
def detector(monkeypatch, config):
    """A whole detector around the head."""
    monkeypatch.setitem(MODELS.module_dict, 'Levels', Levels)
    head = config(UOT)
    train_cfg, test_cfg = head.pop('train_cfg'), head.pop('test_cfg')
    model = SingleStageDetector(
        backbone=dict(type='Levels'),
        bbox_head=dict(type='UOTSSDHead', **head),
        train_cfg=train_cfg,
        test_cfg=test_cfg,
        data_preprocessor=dict(
            type='mmdet.DetDataPreprocessor', mean=[0.5] * 3, std=[1.0] * 3
        ),
    )
    model.init_weights()
    return model


@pytest.mark.parametrize('num_gts', [(3, 0), (0, 0), (1,)], ids=str)
def test_within_a_detector(num_gts, detector, make_scene):
    scene = make_scene(num_gts)
    samples = []
    for gts, meta in zip(scene.gts, scene.metas):
        meta = dict(meta, ori_shape=meta['img_shape'], scale_factor=(2.0, 2.0))
        samples.append(DetDataSample(metainfo=meta, gt_instances=gts))
        samples[-1].ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
    generator = torch.Generator().manual_seed(1)
    images = torch.rand((len(num_gts), 3, SIZE, SIZE), generator=generator)

    loss, logs = detector.parse_losses(detector(images, samples, mode='loss'))
    assert set(logs) == {'loss', 'loss_cls', 'loss_bbox'}
    loss.backward()
    for name, parameter in detector.named_parameters():
        assert parameter.grad.isfinite().all(), name
    results = detector(images, samples, mode='predict')
    for result, sample in zip(results, samples):
        pred = result.pred_instances
        assert 0 < len(pred) <= 20
        width = sample.img_shape[1] / 2  # rescaled to the original
        assert pred.bboxes[:, 2].max() <= width


# MMDetection's own cases for its SSD head, with ours put in.


def test_ssd_head_loss(assigner, config):
    size = 300
    meta = dict(
        img_shape=(size, size, 3), pad_shape=(size, size, 3), scale_factor=1
    )
    head = UOTSSDHead(
        num_classes=4,
        in_channels=(1, 1, 1, 1, 1, 1),
        stacked_convs=1,
        feat_channels=1,
        use_depthwise=True,
        anchor_generator=dict(
            type='SSDAnchorGenerator',
            scale_major=False,
            input_size=size,
            basesize_ratio_range=(0.15, 0.9),
            strides=[8, 16, 32, 64, 100, 300],
            ratios=[[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        ),
        train_cfg=config(assigner)['train_cfg'],
    )
    levels = [
        torch.rand(1, 1, math.ceil(size / step), math.ceil(size / step))
        for step, _ in head.prior_generator.strides
    ]
    cls_scores, bbox_preds = head(levels)
    assert sum(score.numel() for score in cls_scores) == 8732 * 5

    def total(boxes, labels):
        gts = InstanceData(
            bboxes=torch.tensor(boxes).view(-1, 4),
            labels=torch.tensor(labels, dtype=torch.int64),
        )
        losses = head.loss_by_feat(cls_scores, bbox_preds, [gts], [meta])
        return [sum(losses[name]).item() for name in losses]

    # Without truth both losses are zero, else neither is.
    assert total([], []) == [0, 0]
    assert min(total([[23.6667, 23.8757, 238.6326, 151.8874]], [2])) > 0
