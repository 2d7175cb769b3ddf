"""Ground truths are prepared once, and are what a list of them is."""

import copy
import math

import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData

from mmdet_uot.assigners import UOTAssigner, match_batch, match_layers
from mmdet_uot.inputs import ground_truths as module
from mmdet_uot.inputs.ground_truths import GroundTruths

CPU = torch.device('cpu')
COSTS = [
    dict(type='OneMinusProbCost'),
    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
    dict(type='OneMinusIoUCost', iou_mode='giou'),
]


def batch():
    generator = torch.Generator().manual_seed(0)

    def boxes(count):
        corner, side = torch.rand(2, count, 2, generator=generator) * 100
        return torch.cat((corner, corner + side + 5), 1)

    gts = [
        InstanceData(bboxes=boxes(count), labels=torch.arange(count) % 3)
        for count in (3, 0, 5)
    ]
    preds = [
        InstanceData(
            bboxes=boxes(30), scores=torch.randn(30, 3, generator=generator)
        )
        for _ in gts
    ]
    metas = [
        dict(img_shape=(200, 220 + image), img_path=f'{image}.png')
        for image in range(3)
    ]
    return preds, gts, metas


@pytest.fixture
def counted(monkeypatch):
    """How often the fields of all images are padded."""
    names = []
    pad = module.fields

    def fields(instances, name, *args):
        names.append(name)
        return pad(instances, name, *args)

    monkeypatch.setattr(module, 'fields', fields)
    return names


def test_they_are_the_sequence_that_was_given():
    _, gts, metas = batch()
    prepared = GroundTruths(gts, metas, CPU)
    assert len(prepared) == 3
    assert all(x is y for x, y in zip(prepared, gts))
    assert prepared[1:] == gts[1:]
    assert GroundTruths.of(prepared, [], CPU) is prepared


def test_padding_and_flaws():
    _, gts, metas = batch()
    gts[0].bboxes[1, 2] = math.nan
    gts[2].bboxes[4, 3] = gts[2].bboxes[4, 1]
    gts[0].bboxes = HorizontalBoxes(gts[0].bboxes)
    prepared = GroundTruths(gts, metas, CPU)
    assert prepared.counts == [3, 0, 5]
    assert prepared.names == ['0.png', '1.png', '2.png']
    assert prepared.boxes.shape == (3, 5, 4)
    assert prepared.boxes[0, 1].isnan().any()
    assert (prepared.matched_boxes[0, 1] == 0).all()
    assert prepared.matched_boxes[2].equal(gts[2].bboxes)
    assert prepared.matched[0].bboxes.equal(prepared.matched_boxes[0, :3])
    assert prepared.valid.tolist() == [
        [True, False, True, False, False],
        [False] * 5,
        [True, True, True, True, False],
    ]
    assert prepared.flaws.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert [place[:2] for place in prepared.bad_boxes()] == [(0, 1)]
    assert prepared.labels(3)[2].tolist() == [0, 1, 2, 0, 1]
    assert prepared.image_sizes[1].tolist() == [[221, 200, 221, 200]]


def test_labels_are_checked_against_the_fewest_classes():
    _, gts, metas = batch()
    prepared = GroundTruths(gts, metas, CPU)
    prepared.labels(4)
    prepared.labels(3)
    message = r'labels must be in \[0, 2\).* got 2 in 0\.png'
    with pytest.raises(ValueError, match=message):
        prepared.labels(2)


def test_a_copy_may_be_changed():
    _, gts, metas = batch()
    prepared = GroundTruths(gts, metas, CPU, ignored=[None] * 3)
    prepared.labels(3)
    twin = copy.deepcopy(prepared)
    for instances in twin:
        instances.labels = torch.zeros_like(instances.labels)
    assert (twin.labels(1) == 0).all()
    assert prepared.labels(3).any()
    assert twin.ignored == prepared.ignored


@pytest.mark.parametrize(
    'ignored', [[None], [None, None, InstanceData(), None]], ids=len
)
def test_lengths_must_fit(ignored):
    _, gts, metas = batch()
    with pytest.raises(ValueError, match=r'one entry per image, got 3 and 2'):
        GroundTruths(gts, metas[:2], CPU)
    with pytest.raises(ValueError, match=r'one entry per image \(3\), got'):
        GroundTruths(gts, metas, CPU, ignored=ignored)


@pytest.mark.parametrize('budget', [2**29, 1])
def test_a_plan_is_that_of_a_list_and_nothing_is_padded_twice(budget, counted):
    preds, gts, metas = batch()
    assigner = UOTAssigner(match_costs=COSTS, memory_budget=budget)
    expected = match_batch(assigner, preds, gts, metas)
    layers = [
        torch.stack([pred[name] for pred in preds]).expand(2, -1, -1, -1)
        for name in ('scores', 'bboxes')
    ]
    expected_layers = match_layers(assigner, *layers, gts, metas)
    counted.clear()
    # Calls that the matching does not look at.
    assigner.watch.calls = 6
    prepared = GroundTruths(gts, metas, CPU)
    plans = (
        match_batch(assigner, preds, prepared, metas),
        assigner.match(preds, prepared),
    )
    for plan in plans:
        assert plan.weights.equal(expected.weights)
    plan = match_layers(assigner, *layers, prepared, metas)
    assert plan.weights.equal(expected_layers.weights)
    if budget > 1:
        assert sorted(counted) == ['bboxes', 'labels']


def test_stock_assigners_take_them():
    preds, gts, metas = batch()
    stock = TASK_UTILS.build(
        dict(type='HungarianAssigner', match_costs=COSTS[1:])
    )
    plans = [
        match_batch(stock, preds, x, metas).weights
        for x in (gts, GroundTruths(gts, metas, CPU))
    ]
    assert plans[0].equal(plans[1])


def test_ignored_boxes_of_theirs_are_honoured():
    preds, gts, metas = batch()
    ignored = [None, InstanceData(bboxes=torch.tensor([[0.0, 0, 90, 90]]))]
    ignored.append(None)
    assigner = UOTAssigner(match_costs=COSTS, ignore_iof_thr=0.3)
    expected = assigner.match(preds, gts, metas, ignored).weights
    assert not expected.equal(assigner.match(preds, gts, metas).weights)
    prepared = GroundTruths(gts, metas, CPU, ignored=ignored)
    assert assigner.match(preds, prepared).weights.equal(expected)
    assert match_batch(assigner, preds, prepared, metas).weights.equal(
        expected
    )
