"""Costs of a batch are those of its images, whatever else it holds."""

import pytest
import torch
from mmdet.models.task_modules.assigners.match_cost import (
    BaseMatchCost,
    FocalLossCost,
)
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData

from mmdet_uot.assigners import UOTAssigner
from mmdet_uot.costs import compiled as compiled_costs
from mmdet_uot.costs.whole_batch import add_cost
from mmdet_uot.inputs.from_decoder import TensorBatch
from mmdet_uot.inputs.from_instances import InstanceBatch
from mmdet_uot.native import library

BATCHED = [
    dict(type='ClassificationCost', weight=1.5),
    dict(type='FocalLossCost', alpha=0.3, gamma=1.5, weight=2.0),
    dict(type='FocalLossCost', alpha=0.3, weight=2.0),
    dict(type='BBoxL1Cost', box_format='xyxy', weight=5.0),
    dict(type='BBoxL1Cost', box_format='xywh', weight=5.0),
    dict(type='IoUCost', iou_mode='iou', weight=0.5),
    dict(type='IoUCost', iou_mode='giou', weight=2.0),
    dict(type='OneMinusIoUCost', iou_mode='iou', weight=0.5),
    dict(type='OneMinusIoUCost', iou_mode='giou', weight=2.0),
    dict(type='GaussianWassersteinCost', unit='box', weight=2.0),
    dict(type='GaussianWassersteinCost', unit='pixel', constant=40.0),
    dict(type='OneMinusProbCost', use_sigmoid=False, weight=1.5),
    dict(type='OneMinusProbCost', use_sigmoid=True, weight=1.5),
    dict(type='NegLogIoUCost', weight=1.5),
    dict(type='AlignmentCost', alpha=0.5, beta=2.0),
    dict(type='BinaryClassCost', weight=1.5),
    dict(type='FocalClassCost', gamma=1.5),
    dict(type='PositionModulatedCost', weight=2.0),
    dict(type='SoftLabelCost', weight=1.5),
    dict(type='PowerCost', cost=dict(type='IoUCost'), power=1.5),
]
IMAGE_BY_IMAGE = [
    dict(type='FocalLossCost', binary_input=True, weight=2.0),
    dict(type='DiceCost', pred_act=True, weight=5.0),
    dict(type='CrossEntropyLossCost', weight=3.0),
]
# Numbers of predictions and of ground truths.
SIZES = {
    'ragged': ([7, 3, 9, 5], [4, 0, 2, 6]),
    'one image': ([6], [3]),
    'no ground truths': ([4, 4], [0, 0]),
    'an image without predictions': ([0, 4], [2, 3]),
}
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@pytest.fixture(params=['compiled', 'torch'] if library() else ['torch'])
def _each_way(request, monkeypatch):
    if request.param == 'torch':
        monkeypatch.setattr(compiled_costs, 'can_read', lambda *_: False)


pytestmark = pytest.mark.usefixtures('_each_way')


def names(config):
    return '-'.join(str(value) for value in config.values())


def convert(instances, change):
    converted = InstanceData()
    for name, value in instances.items():
        converted.set_field(change(name, value), name)
    return converted


def to_dtype(instances, dtype):
    return convert(
        instances, lambda _, x: x.to(dtype) if x.is_floating_point() else x
    )


def cost_of(cost, batch):
    """(B, M, N)."""
    B, N, columns = batch.shape
    value = torch.zeros(B, columns - 1, N)
    add_cost(cost, batch, batch.gt_valid(), value)
    return value


def assert_equals_originals(cost, batch, preds, gts, metas):
    value = cost_of(cost, batch)
    assert value.isfinite().all()
    assert (value[~batch.gt_valid()] == 0).all()
    twice = value.clone()
    assert not add_cost(cost, batch, batch.gt_valid(), twice).any()
    torch.testing.assert_close(twice, 2 * value)
    for image, (pred, gt, meta) in enumerate(zip(preds, gts, metas)):
        if len(pred) and len(gt):
            torch.testing.assert_close(
                value[image, : len(gt), : len(pred)].mT,
                cost(pred, gt, meta),
                rtol=1e-5,
                atol=1e-6,
            )


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('sizes', SIZES)
@pytest.mark.parametrize('config', BATCHED + IMAGE_BY_IMAGE, ids=names)
def test_equals_the_original_on_every_image(config, sizes, dtype, draw):
    preds, gts, metas = draw.batch(*SIZES[sizes])
    preds = [to_dtype(pred, dtype) for pred in preds]
    gts = [to_dtype(gt, dtype) for gt in gts]
    # Half precision is promoted before anything is computed.
    wide_preds = [to_dtype(pred, torch.float32) for pred in preds]
    wide_gts = [to_dtype(gt, torch.float32) for gt in gts]
    assert_equals_originals(
        TASK_UTILS.build(config),
        InstanceBatch(preds, gts, metas),
        wide_preds,
        wide_gts,
        metas,
    )


@pytest.mark.parametrize('config', BATCHED, ids=names)
def test_layers_are_stacked_before_images(config, draw):
    scores, boxes = draw.rand(3, 2, 6, 5), draw.boxes(36).view(3, 2, 6, 4)
    gts = [draw.gts(4), draw.gts(1)]
    metas = [dict(img_shape=(160, 300)), dict(img_shape=(220, 90))]
    preds = [
        InstanceData(scores=score, bboxes=box)
        for score, box in zip(scores.flatten(0, 1), boxes.flatten(0, 1))
    ]
    assert_equals_originals(
        TASK_UTILS.build(config),
        TensorBatch(scores, boxes, gts, metas),
        preds,
        gts * 3,
        metas * 3,
    )


@pytest.mark.parametrize('config', BATCHED[3:11], ids=names)
def test_box_objects_are_boxes(config, draw):
    preds, gts, metas = draw.batch(*SIZES['ragged'])

    def wrap(name, value):
        return HorizontalBoxes(value) if name == 'bboxes' else value

    assert_equals_originals(
        TASK_UTILS.build(config),
        InstanceBatch(
            [convert(pred, wrap) for pred in preds],
            [convert(gt, wrap) for gt in gts],
            metas,
        ),
        preds,
        gts,
        metas,
    )


@pytest.mark.parametrize('shared', [True, False])
@pytest.mark.parametrize('config', BATCHED[3:11], ids=names)
def test_anchors_cost_what_they_would_as_boxes(config, shared, draw):
    _, gts, metas = draw.batch([], [4, 0, 2])
    anchors = [draw.anchors(8)] * 3
    if not shared:
        anchors[1:] = [draw.anchors(6), draw.anchors(7)]
    cost = TASK_UTILS.build(config)
    boxes = [InstanceData(bboxes=anchor.priors) for anchor in anchors]
    assert torch.equal(
        cost_of(cost, InstanceBatch(anchors, gts, metas)),
        cost_of(cost, InstanceBatch(boxes, gts, metas)),
    )
    assert 'bboxes' not in anchors[0]


class CentreCost(BaseMatchCost):
    """A stranger's cost, which sees every image by itself."""

    transposed = False

    def __call__(self, pred_instances, gt_instances, img_meta=None, **kwargs):
        pred = pred_instances.bboxes[:, None, :2]
        distance = (pred - gt_instances.bboxes[:, :2]).abs().sum(-1)
        distance = distance / img_meta['img_shape'][0]
        if self.transposed:
            return self.weight * distance.mT
        return self.weight * distance


@pytest.fixture
def centre_cost():
    TASK_UTILS.register_module(module=CentreCost)
    yield dict(type='CentreCost', weight=3.0)
    TASK_UTILS.module_dict.pop('CentreCost')


@pytest.mark.parametrize('sizes', SIZES)
def test_a_strangers_cost_works(sizes, centre_cost, draw):
    preds, gts, metas = draw.batch(*SIZES[sizes])
    cost = TASK_UTILS.build(centre_cost)
    assert_equals_originals(
        cost, InstanceBatch(preds, gts, metas), preds, gts, metas
    )


def test_a_subclass_is_not_taken_for_its_parent(draw):
    class Shifted(FocalLossCost):
        def __call__(self, *args, **kwargs):
            return super().__call__(*args, **kwargs) + 7

    preds, gts, metas = draw.batch(*SIZES['ragged'])
    assert_equals_originals(
        Shifted(), InstanceBatch(preds, gts, metas), preds, gts, metas
    )


def test_a_cost_of_the_wrong_shape_is_an_error(monkeypatch, draw):
    monkeypatch.setattr(CentreCost, 'transposed', True)
    preds, gts, metas = draw.batch([5], [3])
    message = r'CentreCost returned shape \(3, 5\) for 5 predictions and 3'
    with pytest.raises(ValueError, match=message):
        cost_of(CentreCost(), InstanceBatch(preds, gts, metas))


@pytest.mark.parametrize('config', BATCHED[3:11], ids=names)
def test_boxes_of_zero_area_cost_something_finite(config, draw):
    gt = InstanceData(bboxes=torch.tensor([[9.0, 9.0, 9.0, 9.0]] * 2))
    pred = InstanceData(bboxes=torch.cat((gt.bboxes, draw.boxes(3))))
    batch = InstanceBatch([pred], [gt], [dict(img_shape=(50, 60))])
    assert cost_of(TASK_UTILS.build(config), batch).isfinite().all()


@pytest.mark.parametrize(('mode', 'most'), [('iou', 1.0), ('giou', 2.0)])
def test_the_papers_costs_are_not_negative(mode, most, draw):
    preds, gts, metas = draw.batch([40], [30])
    batch = InstanceBatch(preds, gts, metas)
    for config, limit in (
        (dict(type='OneMinusIoUCost', iou_mode=mode), most),
        (dict(type='OneMinusProbCost', use_sigmoid=mode == 'iou'), 1.0),
    ):
        value = cost_of(TASK_UTILS.build(config), batch)
        assert value.min() >= 0
        assert value.max() <= limit


def test_an_unknown_iou_mode_is_an_error():
    with pytest.raises(ValueError, match="'iou' or 'giou', got 'diou'"):
        TASK_UTILS.build(dict(type='OneMinusIoUCost', iou_mode='diou'))


@pytest.mark.parametrize('mode', ['iou', 'giou'])
def test_overlaps_are_those_of_mmdet_to_the_last_bit(mode, draw):
    """Or equal overlaps would be told apart where mmdet does not."""
    pred, gt = draw.preds(500), draw.gts(40)
    cost = TASK_UTILS.build(dict(type='OneMinusIoUCost', iou_mode=mode))
    value = cost_of(cost, InstanceBatch([pred], [gt], None))
    assert torch.equal(value[0].mT, cost(pred, gt))


@pytest.mark.parametrize('number', [float('nan'), float('inf'), 1e30])
@pytest.mark.parametrize('config', BATCHED[:8], ids=names)
def test_bad_predictions_are_noticed_in_their_image(config, number, draw):
    preds, gts, metas = draw.batch([5, 6, 4], [3, 2, 0])
    for pred in preds[1:]:
        pred.bboxes[3, 0] = number
        pred.scores[3] = number
    batch = InstanceBatch(preds, gts, metas)
    total = torch.zeros(3, 3, 6)
    cost = TASK_UTILS.build(config)
    is_bad = add_cost(cost, batch, batch.gt_valid(), total)
    finite = total.abs().amax((1, 2)) <= 1e15
    assert is_bad.tolist() == (~finite).tolist()
    assert not is_bad[0] and not is_bad[2]


def test_scores_of_no_class_cost_nothing_where_nothing_is_matched():
    batch = TensorBatch(
        torch.zeros(1, 1, 5, 0),
        torch.zeros(1, 1, 5, 4),
        [InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0))],
        [dict(img_shape=(50, 60))],
    )
    cost = TASK_UTILS.build(dict(type='OneMinusProbCost'))
    assert cost_of(cost, batch).shape == (1, 0, 5)


def test_the_logarithm_of_nothing_is_noticed(draw):
    preds, gts, metas = draw.batch([5], [3])
    preds[0].scores[:] = 200.0
    cost = TASK_UTILS.build(dict(type='FocalLossCost', eps=0.0))
    batch = InstanceBatch(preds, gts, metas)
    assert add_cost(cost, batch, batch.gt_valid(), torch.zeros(1, 3, 5)).all()


@pytest.mark.parametrize('compiled', [True, False])
def test_a_softmax_over_one_column_is_an_error(compiled, draw, monkeypatch):
    if not compiled:
        monkeypatch.setattr(compiled_costs, 'can_read', lambda *_: False)
    preds, gts = draw.preds(9), draw.gts(2)
    preds.scores = preds.scores[:, :1]
    gts.labels[:] = 0
    cost = dict(type='OneMinusProbCost')
    with pytest.raises(ValueError, match='use_sigmoid=True'):
        UOTAssigner(match_costs=cost).match([preds], [gts])
    sigmoid = dict(cost, use_sigmoid=True)
    assert UOTAssigner(match_costs=sigmoid).match([preds], [gts])
