"""One image, hard views, and agreement with mmdet's own assigners."""

import pytest
import torch
from mmdet.models.task_modules.samplers import PseudoSampler, RandomSampler
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData

from mmdet_uot.assigners import SinkhornAssigner, UOTAssigner, match_batch

COSTS = [
    dict(type='ClassificationCost', weight=1.0),
    dict(type='BBoxL1Cost', weight=5.0),
    dict(type='IoUCost', iou_mode='giou', weight=2.0),
]
SCALINGS = ['image_max', 'none']
CLOSEST = dict(tau1='inf', tau2=0, epsilon=0)


def max_iou(**options):
    return TASK_UTILS.build(
        dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            match_low_quality=False,
            **options,
        )
    )


def around(anchors, count):
    """Ignored boxes that hold some of the anchors."""
    return InstanceData(bboxes=anchors.priors[:count] + 2)


def assert_same_result(actual, expected):
    assert actual.num_gts == expected.num_gts
    assert torch.equal(actual.gt_inds, expected.gt_inds)
    assert torch.equal(actual.labels, expected.labels)
    if expected.max_overlaps is not None:
        torch.testing.assert_close(actual.max_overlaps, expected.max_overlaps)


@pytest.fixture
def crowd(draw):
    """Anchors around few ground truths, so that many overlap well."""

    def make(num_anchors=200, num_gts=5):
        gts = draw.gts(num_gts)
        index = (draw.rand(num_anchors) * num_gts).long()
        shift = 20 * draw.rand(num_anchors, 4) - 10
        return InstanceData(priors=gts.bboxes[index] + shift), gts

    return make


@pytest.mark.parametrize('scaling', SCALINGS)
@pytest.mark.parametrize(
    ('num_preds', 'num_gts'), [(20, 6), (6, 6), (4, 9), (5, 0), (0, 3), (1, 1)]
)
def test_corner_of_hungarian(num_preds, num_gts, scaling, draw):
    stock = TASK_UTILS.build(dict(type='HungarianAssigner', match_costs=COSTS))
    ours = SinkhornAssigner(match_costs=COSTS, epsilon=0, cost_scaling=scaling)
    preds, gts, metas = draw.batch([num_preds] * 5, [num_gts] * 5)
    for image in zip(preds, gts, metas):
        pred, gt, meta = image
        assert_same_result(
            ours.assign(pred, gt, img_meta=meta),
            stock.assign(pred, gt, img_meta=meta),
        )


@pytest.mark.parametrize('scaling', SCALINGS)
@pytest.mark.parametrize('num_gts', [0, 1, 5, 30])
def test_corner_of_max_iou(num_gts, scaling, crowd, draw):
    anchors, gts = crowd(num_gts=max(num_gts, 1))
    gts = gts[:num_gts]
    result = UOTAssigner(**CLOSEST, cost_scaling=scaling).assign(anchors, gts)
    assert_same_result(result, max_iou().assign(anchors, gts))
    assert bool((result.gt_inds > 0).any()) == (num_gts > 0)


def test_preset_of_ssds_two_stages(crowd):
    stock = TASK_UTILS.build(
        dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            min_pos_iou=0.0,
            gt_max_assign_all=False,
        )
    )
    ours = UOTAssigner(preset='ssd_two_stage')
    for num_gts in (1, 4, 12):
        anchors, gts = crowd(num_gts=num_gts)
        assert_same_result(
            ours.assign(anchors, gts), stock.assign(anchors, gts)
        )


@pytest.mark.parametrize('wrt_candidates', [True, False])
@pytest.mark.parametrize('num_ignored', [0, 1, 3])
def test_ignores_what_max_iou_ignores(
    num_ignored, wrt_candidates, crowd, draw
):
    options = dict(ignore_iof_thr=0.4, ignore_wrt_candidates=wrt_candidates)
    anchors, gts = crowd()
    ignore = around(anchors, num_ignored)
    result = UOTAssigner(**CLOSEST, **options).assign(anchors, gts, ignore)
    expected = max_iou(**options).assign(anchors, gts, ignore)
    assert_same_result(result, expected)
    assert bool((result.gt_inds == -1).any()) == (num_ignored > 0)
    assert (result.max_overlaps[result.gt_inds == -1] == -1).all()


@pytest.mark.parametrize(('thr', 'gt_inds'), [(0.5, [1]), (0.49, [-1])])
def test_a_share_of_just_the_threshold_is_not_ignored(thr, gt_inds):
    box = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    anchors = InstanceData(priors=box)
    gts = InstanceData(bboxes=box, labels=torch.tensor([0]))
    ignore = InstanceData(bboxes=torch.tensor([[0.0, 0.0, 10.0, 5.0]]))
    for assigner in (
        max_iou(ignore_iof_thr=thr),
        UOTAssigner(ignore_iof_thr=thr),
    ):
        result = assigner.assign(anchors, gts, ignore)
        assert result.gt_inds.tolist() == gt_inds


@pytest.mark.parametrize('wrt_candidates', [True, False])
def test_ignored_predictions_are_as_good_as_gone(wrt_candidates, crowd, draw):
    anchors, gts = crowd()
    options = dict(
        epsilon=0.02,
        ignore_iof_thr=0.4,
        ignore_wrt_candidates=wrt_candidates,
    )
    assigner = UOTAssigner(**options)
    ignore = around(anchors, 3)
    plan = assigner.match([anchors], [gts], None, [ignore])
    gone = plan.pred_mass[0] == 0
    assert gone.any()
    assert not gone.all()
    assert (plan.weights[0, gone] == 0).all()
    rest = assigner.match([InstanceData(priors=anchors.priors[~gone])], [gts])
    torch.testing.assert_close(
        plan.weights[0, ~gone], rest.weights[0], rtol=0, atol=1e-5
    )
    # Without a threshold, with None, and far away, nothing is ignored.
    far = InstanceData(bboxes=ignore.bboxes + 1000)
    plain = UOTAssigner(epsilon=0.02).match([anchors], [gts])
    for plan in (
        UOTAssigner(epsilon=0.02).match([anchors], [gts], None, [ignore]),
        assigner.match([anchors], [gts], None, [None]),
        assigner.match([anchors], [gts], None, [far]),
    ):
        assert torch.equal(plan.weights, plain.weights)


def test_an_ignored_box_concerns_its_image_only(crowd, draw):
    (anchors, first), (_, second) = crowd(), crowd()
    ignore = around(anchors, 2)
    assigner = UOTAssigner(ignore_iof_thr=0.4)
    with_it = assigner.match(
        [anchors, anchors], [first, second], None, [None, ignore]
    )
    without = assigner.match([anchors, anchors], [first, second])
    assert torch.equal(with_it.weights[0], without.weights[0])
    assert not torch.equal(with_it.weights[1], without.weights[1])


def test_ignored_boxes_without_ground_truths(draw):
    anchors = InstanceData(
        priors=torch.tensor([[0.0, 0.0, 9.0, 9.0], [50.0, 50.0, 60.0, 60.0]])
    )
    ignore = InstanceData(bboxes=torch.tensor([[0.0, 0.0, 20.0, 20.0]]))
    result = UOTAssigner(ignore_iof_thr=0.5).assign(
        anchors, draw.gts(0), ignore
    )
    assert result.gt_inds.tolist() == [-1, 0]
    assert result.max_overlaps.tolist() == [-1, 0]
    assert result.labels.tolist() == [-1, -1]


def test_hard_views(draw):
    priors = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 8], [40, 40, 50, 50]]
    anchors = InstanceData(priors=torch.tensor(priors).float())
    gts = InstanceData(
        bboxes=torch.tensor([[0, 0, 10, 9.6], [41, 41, 50, 50]]),
        labels=torch.tensor([3, 1]),
    )
    expected = {
        'best_ground_truth': [1, 1, 1, 2],
        'best_prediction': [1, 0, 0, 2],
        'one_to_one': [1, 0, 0, 2],
    }
    for view, gt_inds in expected.items():
        result = UOTAssigner(hard_view=view).assign(anchors, gts)
        assert result.gt_inds.tolist() == gt_inds
        labels = [[-1, 3, 1][index] for index in gt_inds]
        assert result.labels.tolist() == labels


def test_views_differ_where_ground_truths_compete():
    box = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    anchors = InstanceData(
        priors=torch.cat([box + 20 * index for index in range(5)])
    )
    gts = InstanceData(
        bboxes=torch.cat((box, box + 1)), labels=torch.tensor([0, 1])
    )
    # The first anchor is the best of both, and closer to the first.
    for view, taken in (('best_prediction', [1]), ('one_to_one', [1, 2])):
        gt_inds = UOTAssigner(hard_view=view).assign(anchors, gts).gt_inds
        assert gt_inds[0] == 1
        assert sorted(gt_inds[gt_inds > 0].tolist()) == taken


@pytest.mark.parametrize(
    'assigner',
    [
        UOTAssigner(),
        UOTAssigner(**CLOSEST),
        UOTAssigner(hard_view='one_to_one'),
        SinkhornAssigner(match_costs=dict(type='IoUCost'), epsilon=0),
    ],
)
@pytest.mark.parametrize('num_gts', [0, 5])
def test_result_is_complete_for_samplers(assigner, num_gts, crowd):
    anchors, gts = crowd()
    gts = gts[:num_gts]
    result = assigner.assign(anchors, gts)
    assert result.num_gts == num_gts
    for name, dtype in (
        ('gt_inds', torch.int64),
        ('max_overlaps', torch.float32),
        ('labels', torch.int64),
    ):
        value = getattr(result, name)
        assert value.shape == (200,)
        assert value.dtype == dtype

    taken = PseudoSampler().sample(result, anchors, gts)
    assert len(taken.pos_inds) + len(taken.neg_inds) == 200
    of_pos = gts.labels[taken.pos_assigned_gt_inds]
    assert torch.equal(taken.pos_gt_labels, of_pos)

    sampler = RandomSampler(1000, 0.5, add_gt_as_proposals=True)
    taken = sampler.sample(assigner.assign(anchors, gts), anchors, gts)
    assert len(taken.pos_inds) + len(taken.neg_inds) == 200 + num_gts
    assert taken.pos_is_gt.sum() == num_gts
    of_pos = gts.labels[taken.pos_assigned_gt_inds]
    assert torch.equal(taken.pos_gt_labels, of_pos)


def test_without_boxes_there_are_no_overlaps(draw):
    pred, gt = draw.preds(8), draw.gts(3)
    pred.pop('bboxes')
    result = SinkhornAssigner(match_costs=dict(type='DiceCost')).assign(
        pred, gt
    )
    assert result.max_overlaps is None
    assert (result.gt_inds > 0).sum() == 3


def test_every_way_in_which_heads_call(draw):
    preds, gts, metas = draw.batch([12], [3])
    ignore = InstanceData(bboxes=draw.boxes(1))
    assigner = UOTAssigner(match_costs=COSTS, ignore_iof_thr=0.5)
    first = assigner.assign(preds[0], gts[0], ignore, metas[0])
    second = assigner.assign(
        pred_instances=preds[0],
        gt_instances=gts[0],
        gt_instances_ignore=ignore,
        img_meta=metas[0],
        feat_channels=256,
        img_meta_of_a_stranger=None,
    )
    assert_same_result(first, second)


def test_box_objects(crowd, draw):
    anchors, gts = crowd()
    ignore = around(anchors, 2)
    assigner = UOTAssigner(ignore_iof_thr=0.5)
    expected = assigner.assign(anchors, gts, ignore)
    for instances, name in (
        (anchors, 'priors'),
        (gts, 'bboxes'),
        (ignore, 'bboxes'),
    ):
        instances.set_field(HorizontalBoxes(instances.get(name)), name)
    assert_same_result(assigner.assign(anchors, gts, ignore), expected)


def test_stock_assigners_give_plans_of_zeros_and_ones(crowd, draw):
    (anchors, first), (_, second) = crowd(num_gts=5), crowd(num_gts=2)
    ignore = around(anchors, 2)
    arguments = ([anchors] * 3, [first, second, draw.gts(0)], [{}] * 3)
    stock = max_iou(ignore_iof_thr=0.4)
    plan = match_batch(stock, *arguments, [ignore, None, None])
    assert plan.weights.shape == (3, 200, 6)
    for image, gts in enumerate(arguments[1]):
        result = stock.assign(anchors, gts, ignore if image == 0 else None)
        rows = result.gt_inds.clone()
        rows[rows == 0] = 6
        expected = torch.zeros(200, 6)
        kept = rows > 0
        expected[kept, rows[kept] - 1] = 1
        assert torch.equal(plan.weights[image], expected)
    assert plan.weights[0].sum() < 200

    ours = UOTAssigner(**CLOSEST, ignore_iof_thr=0.4)
    same = match_batch(ours, *arguments, [ignore, None, None])
    torch.testing.assert_close(same.weights, plan.weights)


def test_stock_assigners_that_take_no_ignored_boxes(draw):
    preds, gts, metas = draw.batch([8, 5], [3, 2])
    stock = TASK_UTILS.build(dict(type='HungarianAssigner', match_costs=COSTS))
    plan = match_batch(stock, preds, gts, metas)
    ours = SinkhornAssigner(match_costs=COSTS, epsilon=0)
    expected = match_batch(ours, preds, gts, metas)
    torch.testing.assert_close(plan.weights, expected.weights)
