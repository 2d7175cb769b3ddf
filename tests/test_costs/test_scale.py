"""Costs, background, epsilon and tau have one unit for all images."""

import math

import pytest
import torch
from mmdet.models.task_modules.assigners.match_cost import BaseMatchCost
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

from mmdet_uot.assigners import SinkhornAssigner, UOTAssigner
from mmdet_uot.costs.compiled import scale_native
from mmdet_uot.costs.matching_cost import COST_SCALINGS
from mmdet_uot.costs.span import span_of
from mmdet_uot.native import library

OURS = [
    dict(type='OneMinusProbCost', weight=2.0),
    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
    dict(type='OneMinusIoUCost', iou_mode='giou', weight=2.0),
]
STOCK = [
    dict(type='ClassificationCost', weight=2.0),
    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
    dict(type='IoUCost', iou_mode='giou', weight=2.0),
]
IOU = dict(type='OneMinusIoUCost')


@pytest.fixture
def stranger():
    """A registered cost that declares nothing: 3 to 3 + 8 x the first IoU."""

    class StrangeCost(BaseMatchCost):
        def __call__(self, pred_instances, gt_instances, img_meta, **kwargs):
            first = pred_instances.bboxes[:, None, 0]
            return self.weight * (3 + 0.05 * first + gt_instances.labels * 0)

    TASK_UTILS.register_module(module=StrangeCost)
    yield StrangeCost
    TASK_UTILS.module_dict.pop('StrangeCost')


@pytest.mark.parametrize(
    'costs, unit',
    [([IOU], 1.0), (OURS, 10.0), (STOCK, 10.0)],
    ids=['1 - IoU', 'the paper for DETR', "mmdet's"],
)
def test_the_unit_is_what_the_costs_span_together(costs, unit):
    assigner = UOTAssigner(match_costs=costs)
    assert assigner.cost.scale.span.unit == pytest.approx(unit)


@pytest.mark.parametrize(
    'config',
    [*OURS, *STOCK, IOU, dict(type='GaussianWassersteinCost', weight=3.0)],
    ids=str,
)
def test_no_pair_lies_outside_of_a_span_that_is_a_bound(config, draw):
    cost = TASK_UTILS.build(config)
    span = span_of(cost)
    assert span.is_bound == (config['type'] != 'BBoxL1Cost')
    preds, gts, metas = draw.batch([200], [20])
    values = cost(preds[0], gts[0], metas[0])
    if span.is_bound:
        assert values.min() >= span.least - 1e-6
        assert values.max() <= span.greatest + 1e-6


@pytest.mark.parametrize('make', [UOTAssigner, SinkhornAssigner])
def test_weights_of_all_costs_together_do_not_matter(make, draw):
    batch = draw.batch([60, 60], [5, 3])
    plans = [
        make(match_costs=[dict(c, weight=c['weight'] * k) for c in OURS])
        .match(*batch)
        .weights
        for k in (1.0, 50.0)
    ]
    torch.testing.assert_close(*plans, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('options', [{}, dict(tau2='inf')], ids=str)
def test_constants_that_mmdet_drops_do_not_matter(options, draw):
    """-p and -IoU are matched as 1 - p and 1 - IoU are."""
    batch = draw.batch([60, 60], [5, 3])
    plans = [
        UOTAssigner(match_costs=costs, **options).match(*batch).weights
        for costs in (OURS, STOCK)
    ]
    torch.testing.assert_close(*plans, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('preset', ['closest_ground_truth', 'ssd_two_stage'])
def test_the_threshold_of_exact_matchers_has_that_unit_too(preset, draw):
    batch = draw.batch([300], [9])
    plans = [
        UOTAssigner(match_costs=costs, preset=preset).match(*batch).weights
        for costs in (OURS, STOCK)
    ]
    assert torch.equal(*plans)
    assert plans[0][..., :-1].any() and plans[0][..., -1].any()


@pytest.mark.parametrize('background', [0.5, 2.0, 10.0])
def test_a_background_changes_nothing_where_masses_are_hard(background, draw):
    batch = draw.batch([60], [5])
    plans = [
        SinkhornAssigner(
            match_costs=OURS, background_cost=cost, num_iters=2000
        )
        .match(*batch)
        .weights
        for cost in (0.0, background)
    ]
    torch.testing.assert_close(*plans, atol=1e-5, rtol=0)


@pytest.mark.parametrize('options', [{}, dict(tau2='inf')], ids=str)
@pytest.mark.parametrize('costs', [OURS, STOCK, [IOU]])
def test_what_is_nobodys_candidate_changes_nothing(costs, options, draw):
    """A far box in the place of another one that was nowhere near."""
    preds, gts, metas = draw.batch([100], [1])
    near = gts[0].bboxes + 12 * draw.rand(100, 4)
    preds[0].bboxes = near
    plans = []
    for far in (200.0, 290.0):
        preds[0].bboxes[-1] = torch.tensor([far, far, far + 9, far + 9])
        assigner = UOTAssigner(match_costs=costs, **options)
        plans.append(assigner.match(preds, gts, metas).weights[:, :-1])
    assert plans[0][..., 0].sum() > 0.5
    torch.testing.assert_close(*plans, atol=1e-4, rtol=0)


def test_a_stranger_is_measured_once_and_says_so(stranger, draw, log):
    assigner = UOTAssigner(match_costs=dict(type='StrangeCost', weight=2.0))
    empty, first, second = draw.gts(0), draw.gts(3), draw.gts(2)
    preds, others = draw.preds(40), draw.preds(40)
    assigner.match([preds], [empty], [{}])
    assert not log
    assigner.match([preds], [first], [{}])
    assigner.match([others], [second], [{}])
    (message,) = log
    assert 'declares no span' in message and 'cost_scaling' in message
    values = 2 * (3 + 0.05 * preds.bboxes[:, 0])
    span = assigner.cost.scale.span
    assert span.least == pytest.approx(values.min().item())
    assert span.greatest == pytest.approx(values.max().item())


def test_a_stranger_may_declare_its_span_or_be_given_a_unit(stranger, draw):
    config = dict(type='StrangeCost')
    batch = [draw.preds(40)], [draw.gts(3)], [{}]
    given = UOTAssigner(
        match_costs=config, cost_scaling=13.0, background_cost=0.4
    )
    stranger.span = (0.0, 13.0)
    declared = UOTAssigner(match_costs=config, background_cost=0.4)
    by_hand = UOTAssigner(
        match_costs=dict(config, weight=1 / 13),
        cost_scaling='none',
        background_cost=0.4,
    )
    expected = by_hand.match(*batch).weights
    for assigner in (given, declared):
        weights = assigner.match(*batch).weights
        torch.testing.assert_close(weights, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize('value', [1e9, math.nan, math.inf])
def test_a_cost_beyond_all_others_spoils_nothing(value, draw):
    preds, gts, metas = draw.batch([60], [4])
    clean = UOTAssigner(match_costs=OURS).match(preds, gts, metas).weights
    preds[0].bboxes[0] = value
    spoilt = UOTAssigner(match_costs=OURS).match(preds, gts, metas).weights
    lost = clean[:, 0, :-1].sum()
    assert spoilt[:, 0, :-1].sum() < 1e-6
    difference = (spoilt - clean)[:, 1:].abs().max()
    assert difference <= max(10 * lost, 1e-5)


def test_a_head_without_plans_gets_positives_where_masses_are_hard(draw):
    """Ground truths that share predictions evenly are nobody's best."""
    preds, gts = draw.preds(100), draw.gts(5)
    gts.bboxes = gts.bboxes[:1] + draw.rand(5, 4)
    for tau2 in (100, 'inf'):
        result = UOTAssigner(tau1='inf', tau2=tau2).assign(preds, gts)
        assert sorted(result.gt_inds[result.gt_inds > 0]) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    'tau1, tau2, view',
    [
        (100, 0.01, 'best_ground_truth'),
        ('inf', 0, 'best_ground_truth'),
        (0, 'inf', 'best_prediction'),
        ('inf', 'inf', 'one_to_one'),
        (100, 1, 'one_to_one'),
    ],
)
def test_the_view_follows_the_numbers_also_when_they_move(
    tau1, tau2, view, draw
):
    batch = [draw.preds(80)], [draw.gts(6)]
    moved = UOTAssigner()
    moved.set_numbers(tau1=tau1, tau2=tau2)
    given = UOTAssigner(tau1=tau1, tau2=tau2, hard_view=view)
    for preds, gts in zip(*batch):
        expected = given.assign(preds, gts).gt_inds
        assert torch.equal(moved.assign(preds, gts).gt_inds, expected)


@pytest.mark.parametrize('scaling', COST_SCALINGS)
def test_no_layer_has_a_say_in_another(scaling, draw):
    boxes = draw.boxes(40)
    gts = [InstanceData(bboxes=draw.boxes(3), labels=torch.zeros(3).long())]
    scores = draw.rand(2, 1, 40, 5)
    layers = torch.stack((boxes, boxes * 1.5)).unsqueeze(1)
    metas = [dict(img_shape=(300, 300))]
    assigner = UOTAssigner(match_costs=OURS, cost_scaling=scaling)
    both = assigner.match_layers(scores, layers, gts, metas)
    alone = assigner.match_layers(scores[:1], layers[:1], gts, metas)
    assert torch.equal(both.weights[0], alone.weights[0])


@pytest.mark.skipif(library() is None, reason='the library is not compiled')
@pytest.mark.parametrize('farthest', [2.0, math.inf])
def test_the_library_scales_as_torch_does(farthest):
    generator = torch.Generator().manual_seed(0)
    rows = 5 * torch.randn(3, 6, 70, generator=generator)
    rows[1, 2, 3], rows[0, 0, 0] = math.nan, math.inf
    expected = rows.clone()
    cost = expected[:, :-1]
    cost.sub_(0.3).div_(1.7).clamp_(-farthest, farthest)
    assert scale_native(rows[:, :-1], 0.3, 1.7, farthest)
    torch.testing.assert_close(rows, expected, rtol=0, atol=0, equal_nan=True)
    assert not scale_native(rows[..., ::2], 0.3, 1.7, farthest)
