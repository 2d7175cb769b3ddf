"""Bad numbers, bad ground truths and little memory."""

import copy
import logging
import math
import pickle

import pytest
import torch
from mmengine.logging import MMLogger

from mmdet_uot.assigners import SinkhornAssigner, UOTAssigner
from mmdet_uot.assigners.batches import InstanceBatch

PROB, L1, GIOU = (
    dict(type='OneMinusProbCost', use_sigmoid=True),
    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
    dict(type='OneMinusIoUCost', iou_mode='giou'),
)
MATCHERS = {
    'unbalanced': dict(),
    'balanced': dict(preset='balanced'),
    'hungarian': dict(preset='hungarian'),
    'two stages': dict(preset='ssd_two_stage'),
    'support': dict(epsilon_rule='support'),
    'dual softmax': dict(preset='dual_softmax'),
    'unscaled': dict(cost_scaling='none'),
}


@pytest.fixture(params=MATCHERS)
def assigner(request):
    return UOTAssigner(match_costs=[PROB, L1, GIOU], **MATCHERS[request.param])


@pytest.fixture
def batch(draw):
    preds, gts, metas = draw.batch([20, 20, 20], [4, 3, 5])
    for image, meta in enumerate(metas):
        meta['img_path'] = f'train/{image}.png'
    return preds, gts, metas


@pytest.fixture
def log():
    """Messages of MMEngine's logger."""
    messages = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


BREAK = {
    'a score': lambda pred: pred.scores[3].fill_(math.nan),
    'a box': lambda pred: pred.bboxes[3].fill_(math.inf),
    'a side': lambda pred: pred.bboxes[3, 2:3].fill_(-math.inf),
    'all scores': lambda pred: pred.scores.fill_(math.nan),
    'all boxes': lambda pred: pred.bboxes.fill_(math.nan),
}


@pytest.mark.parametrize('kind', BREAK)
def test_bad_predictions_spoil_no_other_image(kind, assigner, batch, log):
    preds, gts, metas = batch
    clean = assigner.match(preds, gts, metas)
    assert not log
    BREAK[kind](preds[1])
    plan = assigner.match(preds, gts, metas)
    assert plan.weights.isfinite().all()
    torch.testing.assert_close(plan.weights[[0, 2]], clean.weights[[0, 2]])
    assert len(log) == 1
    assert 'train/1.png' in log[0]
    assert ('OneMinusProbCost' in log[0]) == ('score' in kind)
    assert ('BBoxL1Cost' in log[0]) == ('score' not in kind)
    entries = 60 if 'all' in kind else 3
    assert f': {entries * 5 // 3} match costs' in log[0]


def test_a_bad_prediction_is_matched_last(batch):
    preds, gts, metas = batch
    assigner = SinkhornAssigner(match_costs=[PROB, L1, GIOU])
    best = assigner.match(preds, gts, metas).foreground[1].argmax(0)
    preds[1].scores[best] = math.nan
    plan = assigner.match(preds, gts, metas)
    assert plan.foreground[1, best].sum() < 0.05
    torch.testing.assert_close(
        plan.foreground[1].sum(0)[:3], torch.ones(3), rtol=0.05, atol=0
    )


def test_skip_gives_the_image_no_plan(batch, log):
    preds, gts, metas = batch
    skip = UOTAssigner(match_costs=[PROB, GIOU], bad_costs='skip')
    clean = skip.match(preds, gts, metas)
    preds[1].scores[3, 1] = math.nan
    gts[1].labels[2] = 1
    plan = skip.match(preds, gts, metas)
    torch.testing.assert_close(plan.weights[[0, 2]], clean.weights[[0, 2]])
    assert (plan.weights[1] == 0).all()
    assert 'train/1.png' in log[0]
    assert 'takes no part' in log[0]


def test_raise_names_image_term_and_index(batch):
    preds, gts, metas = batch
    strict = UOTAssigner(match_costs=[PROB, L1, GIOU], bad_costs='raise')
    strict.match(preds, gts, metas)
    preds[2].bboxes[7] = math.nan
    message = (
        r'train/2\.png: BBoxL1Cost is nan for prediction 7 and ground truth 0'
    )
    with pytest.raises(ValueError, match=message):
        strict.match(preds, gts, metas)


def test_unknown_ways_are_refused():
    with pytest.raises(ValueError, match="bad_costs must be one of .*'drop'"):
        UOTAssigner(bad_costs='drop')
    with pytest.raises(ValueError, match='memory_budget must be a positive'):
        UOTAssigner(memory_budget=0)


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_ground_truths_that_are_not_finite_take_no_part(
    value, assigner, batch
):
    preds, gts, metas = batch
    keep = torch.tensor([0, 2])
    without = [gts[0], gts[1][keep], gts[2]]
    expected = assigner.match(preds, without, metas).weights
    gts[1].bboxes[1, 2] = value
    weights = assigner.match(preds, gts, metas).weights
    assert (weights[1, :, 1] == 0).all()
    torch.testing.assert_close(weights[1, :, keep], expected[1, :, :2])
    torch.testing.assert_close(weights[..., -1], expected[..., -1])


@pytest.mark.parametrize('side', [0.0, -10.0])
def test_degenerate_ground_truths_give_a_finite_plan(side, assigner, batch):
    preds, gts, metas = batch
    gts[1].bboxes[1, 2:] = gts[1].bboxes[1, :2] + side
    assert assigner.match(preds, gts, metas).weights.isfinite().all()


@pytest.mark.parametrize('count', [0, 1, 19, 20, 21, 2000])
def test_any_number_of_ground_truths(count, assigner, draw):
    preds, gts, metas = draw.batch([20, 20], [count, 3])
    plan = assigner.match(preds, gts, metas)
    assert plan.weights.shape == (2, 20, max(count, 3) + 1)
    assert plan.weights.isfinite().all()
    alone = assigner.match(preds[1:], gts[1:], metas[1:]).weights[0]
    torch.testing.assert_close(plan.weights[1, :, :3], alone[:, :3])


def test_a_label_that_is_no_class_is_refused(batch):
    preds, gts, metas = batch
    gts[1].labels[2] = 5
    message = r'labels must be in \[0, 5\).* got 5 in image 1'
    with pytest.raises(ValueError, match=message):
        UOTAssigner(match_costs=PROB).match(preds, gts, metas)


@pytest.mark.parametrize('images', [1, 2, 3])
def test_little_memory_gives_the_same_plan(images, assigner, batch):
    preds, gts, metas = batch
    whole = assigner.match(preds, gts, metas).weights
    # 20 predictions, at most 5 ground truths.
    entry = 4 * 20 * 6 * InstanceBatch.COPIES
    assigner.memory_budget = images * entry
    parts = list(InstanceBatch(*batch).parts(assigner.memory_budget))
    assert len(parts) == math.ceil(3 / images)
    torch.testing.assert_close(
        assigner.match(preds, gts, metas).weights, whole
    )
    layers = [
        torch.stack([pred[name] for pred in preds]).expand(2, -1, -1, -1)
        for name in ('scores', 'bboxes')
    ]
    torch.testing.assert_close(
        assigner.match_layers(*layers, gts, metas).weights,
        whole.repeat(2, 1, 1),
    )


def test_the_scale_of_a_batch_needs_the_whole_batch(batch):
    few, much = (
        UOTAssigner(
            match_costs=L1, cost_scaling='batch_max', memory_budget=budget
        ).match(*batch)
        for budget in (1, 2**30)
    )
    assert torch.equal(few.weights, much.weights)


@pytest.mark.parametrize(
    'copied', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_assigners_can_be_copied(copied, assigner, batch):
    expected = assigner.match(*batch).weights
    assert torch.equal(copied(assigner).match(*batch).weights, expected)
