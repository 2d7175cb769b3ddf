"""Bad numbers, bad ground truths and little memory."""

import copy
import math
import pickle

import pytest
import torch
from mmdet.models.task_modules.samplers import RandomSampler
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData

from mmdet_uot.assigners import SinkhornAssigner, UOTAssigner
from mmdet_uot.inputs.bad_numbers import BadNumberLog
from mmdet_uot.inputs.from_instances import InstanceBatch

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
    'unscaled': dict(cost_scaling='none', background_cost=5.0),
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


BREAK = {
    'a score': lambda pred: pred.scores[3].fill_(math.nan),
    'a certain score': lambda pred: pred.scores[3].fill_(math.inf),
    'a score of nothing': lambda pred: pred.scores[3].fill_(-math.inf),
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
    assert f'match costs that are not finite: {entries}, from ' in log[0]


@pytest.mark.parametrize('part', ['scores', 'bboxes'])
@pytest.mark.parametrize('value', [math.inf, 1e16, -1e30, 3e38])
def test_huge_numbers_count_as_nan(value, part, assigner, batch):
    preds, gts, metas = batch
    plans = []
    for bad in (math.nan, value):
        preds[1].get(part)[3, 2] = bad
        plans.append(assigner.match(preds, gts, metas).weights)
    torch.testing.assert_close(plans[1], plans[0])


def test_what_is_no_pair_of_the_image_is_not_told(batch, log):
    """Padding has the label 0 and stands beside all predictions."""
    preds, gts, metas = batch
    gts[1].labels.fill_(2)
    gts[0] = gts[0][:0]
    options = dict(match_costs=[PROB, GIOU], ignore_iof_thr=0.5)
    clean = UOTAssigner(**options).match(preds, gts, metas)
    preds[1].scores[:, 0] = math.nan
    preds[0].scores.fill_(math.nan)
    for bad_costs in ('replace', 'skip', 'raise'):
        plan = UOTAssigner(**options, bad_costs=bad_costs).match(
            preds, gts, metas
        )
        torch.testing.assert_close(plan.weights, clean.weights)
    assert not log


@pytest.mark.parametrize('budget', [1, 2**29])
def test_all_layers_of_an_image_are_told_at_once(budget, batch, log):
    preds, gts, _ = batch
    scores, boxes = (
        torch.stack([pred.get(name) for pred in preds]).repeat(2, 1, 1, 1)
        for name in ('scores', 'bboxes')
    )
    scores[:, 2, 4:6] = math.nan
    gts[1].bboxes[0] = math.nan
    assigner = UOTAssigner(match_costs=[PROB, GIOU], memory_budget=budget)
    metas = [dict(img_shape=(160, 300))] * 3
    assigner.match_layers(scores, boxes, gts, metas)
    costs = [line for line in log if 'match costs' in line]
    boxes = [line for line in log if 'box is not finite: 1;' in line]
    assert sorted(costs + boxes) == sorted(log)
    # In parts each is told of alone.
    assert len(costs) == len(boxes) == (1 if budget > 1 else 2)
    entries = 2 * 5 * (2 if budget > 1 else 1)
    assert f'not finite: {entries}, from OneMinusProbCost;' in costs[0]
    assert all(line.startswith('image 2 of the batch') for line in costs)
    assert all(line.startswith('image 1 of the batch') for line in boxes)
    assert assigner.cost.log.num_entries == 20


def test_the_log_of_a_long_training_stays_short(log):
    bad = BadNumberLog(lambda counts: f'{counts.sum()} numbers')
    for _ in range(2000):
        bad.add(torch.tensor([[0, 1, 0, 2]]), ['a', 'b', 'c', 'd'])
    assert bad.num_images == 4000
    assert bad.num_entries == 6000
    assert len(log) == 1003
    assert log[1] == 'd: 2 numbers. Images so far: 2.'
    assert log[-1] == 'd: 2 numbers. Images so far: 4000.'


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
    gts[1].bboxes[2, 3] = -math.inf
    message = r'train/1\.png: ground truth 2 has the box \[.*, -inf\]'
    with pytest.raises(ValueError, match=message):
        strict.match(preds, gts, metas)


def test_unknown_ways_are_refused():
    with pytest.raises(ValueError, match="bad_costs must be one of .*'drop'"):
        UOTAssigner(bad_costs='drop')
    with pytest.raises(ValueError, match='memory_budget must be a positive'):
        UOTAssigner(memory_budget=0)


def flat(boxes):
    boxes[1, 2] = boxes[1, 0]


def inverted(boxes):
    boxes[1] = boxes[1].flip(0)


def spoilt(value, places):
    def spoil(boxes):
        boxes[1, places] = value

    return spoil


NO_BOXES = {
    'nan': (spoilt(math.nan, 2), 'is not finite'),
    'infinite': (spoilt(math.inf, 2), 'is not finite'),
    'all infinite': (spoilt(-math.inf, slice(0, 2)), 'is not finite'),
    'huge': (spoilt(1e30, slice(2, 4)), 'is not finite'),
    'flat': (flat, 'has no area'),
    'inverted': (inverted, 'has no area'),
    'a point': (spoilt(20.0, slice(0, 4)), 'has no area'),
}


@pytest.mark.parametrize('kind', NO_BOXES)
def test_ground_truths_without_a_box_take_no_part(kind, assigner, batch, log):
    preds, gts, metas = batch
    keep = torch.tensor([0, 2])
    without = [gts[0], gts[1][keep], gts[2]]
    expected = assigner.match(preds, without, metas).weights
    assert not log
    spoil, text = NO_BOXES[kind]
    spoil(gts[1].bboxes)
    weights = assigner.match(preds, gts, metas).weights
    (line,) = log
    assert line.startswith(f'train/1.png: ground truths whose box {text}: 1;')
    assert (weights[1, :, 1] == 0).all()
    torch.testing.assert_close(weights[1, :, keep], expected[1, :, :2])
    torch.testing.assert_close(weights[..., -1], expected[..., -1])


@pytest.mark.parametrize('kind', NO_BOXES)
def test_samplers_take_no_such_ground_truth_for_a_proposal(kind, draw):
    gts, priors = draw.gts(3), draw.boxes(60)
    spoil, _ = NO_BOXES[kind]
    spoil(gts.bboxes)
    priors[:20] = gts.bboxes[0] + draw.rand(20, 4)
    anchors = InstanceData(priors=priors)
    sampler = RandomSampler(100, 0.5, add_gt_as_proposals=True)
    for preset in (None, 'ssd_two_stage'):
        result = UOTAssigner(preset=preset).assign(anchors, gts)
        expected = bbox_overlaps(gts[[0, 2]].bboxes, priors).amax(0)
        torch.testing.assert_close(result.max_overlaps, expected)
        taken = sampler.sample(result, anchors, gts)
        assert set(taken.pos_assigned_gt_inds.tolist()) == {0, 2}
        assert taken.pos_priors.isfinite().all()
        assert taken.pos_is_gt.sum() == 2
        assert len(taken.pos_inds) + len(taken.neg_inds) == 60 + 2


@pytest.mark.parametrize('value', [math.nan, math.inf])
@pytest.mark.parametrize('wrt_candidates', [True, False])
def test_a_bad_ignored_box_ignores_nothing(value, wrt_candidates, draw):
    anchors, gts = draw.anchors(40), draw.gts(4)
    assigner = UOTAssigner(
        ignore_iof_thr=0.5, ignore_wrt_candidates=wrt_candidates
    )
    ignore = InstanceData(bboxes=anchors.priors[:3].clone())
    expected = assigner.assign(anchors, gts, ignore[:2]).gt_inds
    ignore.bboxes[2, 1] = value
    assert (expected == -1).sum() >= 2
    assert torch.equal(assigner.assign(anchors, gts, ignore).gt_inds, expected)


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
    message = r'labels must be in \[0, 5\).* got 5 in train/1\.png'
    with pytest.raises(ValueError, match=message):
        UOTAssigner(match_costs=PROB).match(preds, gts, metas)


@pytest.mark.parametrize('images', [1, 2, 3])
def test_little_memory_gives_the_same_plan(images, assigner, batch):
    preds, gts, metas = batch
    whole = assigner.match(preds, gts, metas).weights
    # 20 predictions, at most 5 ground truths.
    entry = InstanceBatch(*batch).entry_bytes(assigner.solver.copies)
    assigner.memory_budget = images * entry
    parts = list(
        InstanceBatch(*batch).parts(
            assigner.memory_budget, assigner.solver.copies
        )
    )
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
