"""Plans of whole batches."""

import math

import pytest
import torch
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

from mmdet_uot.assigners import UOTAssigner, match_batch
from mmdet_uot.costs.matching_cost import COST_SCALINGS
from mmdet_uot.ot import MatchingProblem, scale_epsilon, sinkhorn, support_size

BOX_COST = dict(type='OneMinusIoUCost', iou_mode='giou', weight=2.0)
COSTS = [
    dict(type='ClassificationCost', weight=1.0),
    dict(type='BBoxL1Cost', weight=5.0),
    BOX_COST,
]
ASSIGNERS = {
    'default': dict(type='UOTAssigner'),
    'support': dict(type='UOTAssigner', epsilon_rule='support'),
    'no scaling': dict(type='UOTAssigner', cost_scaling='none'),
    'three costs': dict(
        type='UOTAssigner', match_costs=COSTS, background_cost=1.0, tau1=1.0
    ),
    'balanced': dict(type='SinkhornAssigner', match_costs=COSTS),
    'hungarian': dict(type='SinkhornAssigner', match_costs=COSTS, epsilon=0),
    'closest': dict(type='UOTAssigner', tau1='inf', tau2=0, epsilon=0),
    'closest prediction': dict(
        type='UOTAssigner', tau1=0, tau2='inf', epsilon=0
    ),
}


@pytest.fixture(params=ASSIGNERS)
def assigner(request):
    return TASK_UTILS.build(ASSIGNERS[request.param])


def close(actual, expected, atol=2e-5):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def test_default_is_the_papers_ssd_setting(draw):
    explicit = UOTAssigner(
        match_costs=[dict(type='OneMinusIoUCost')],
        background_cost=0.5,
        tau1=100.0,
        tau2=0.01,
        epsilon0=0.12,
        epsilon_rule='log_2n',
        num_iters=20,
        cost_scaling='image_max',
        hard_view='best_ground_truth',
    )
    anchors, gts = draw.anchors(60), draw.gts(4)
    plan = UOTAssigner().match([anchors], [gts])
    assert torch.equal(plan.weights, explicit.match([anchors], [gts]).weights)
    # 1 - IoU is 1 somewhere: there is nothing to scale.
    iou = explicit.match_costs[0](InstanceData(bboxes=anchors.priors), gts)
    assert iou.max() == 1
    by_hand = sinkhorn(
        MatchingProblem.from_costs([iou], 0.5),
        epsilon=0.12 / (math.log(2 * 60) + 1),
        tau1=100.0,
        tau2=0.01,
        num_iters=20,
    )
    close(plan.weights, by_hand.weights)


@pytest.mark.parametrize('scaling', ['unit', 'image_max'])
@pytest.mark.parametrize('rule', ['log_2n', 'log_n', 'support'])
@pytest.mark.parametrize('taus', [(100.0, 0.01), (math.inf, math.inf)])
def test_match_is_sinkhorn_on_the_problem(taus, rule, scaling, draw):
    preds, gts, metas = draw.batch([30, 30], [4, 2])
    assigner = UOTAssigner(
        match_costs=COSTS,
        background_cost=0.8,
        tau1=taus[0],
        tau2=taus[1],
        epsilon0=0.5,
        epsilon_rule=rule,
        num_iters=7,
        cost_scaling=scaling,
    )
    plan = assigner.match(preds, gts, metas)
    for image in range(2):
        cost = sum(
            cost(preds[image], gts[image], metas[image])
            for cost in assigner.match_costs
        )
        if scaling == 'unit':
            # From -1 to 1 + 4 + 4 beyond it.
            cost, background = (cost + 1) / 9, 0.8
        else:
            largest = cost.abs().max().clamp(min=0.8)
            cost, background = cost / largest, 0.8 / largest.item()
        problem = MatchingProblem.from_costs([cost], background)
        options = dict(tau1=taus[0], tau2=taus[1], num_iters=7)
        if rule == 'support':
            first = sinkhorn(
                problem, epsilon=scale_epsilon(30, 0.5, 'log_n'), **options
            )
            size = support_size(first.weights).item()
            epsilon = 0.5 / (math.log(size) + 1)
        else:
            epsilon = scale_epsilon(30, 0.5, rule)
        expected = sinkhorn(problem, epsilon=epsilon, **options).weights[0]
        m = len(gts[image])
        close(plan.foreground[image, :, :m], expected[:, :-1])
        close(plan.background[image], expected[:, -1])
        assert (plan.foreground[image, :, m:] == 0).all()


@pytest.mark.parametrize(
    'num_preds', [(25, 25, 25, 25), (25, 40, 8, 3)], ids=str
)
def test_a_batch_is_its_images(assigner, num_preds, draw):
    preds, gts, metas = draw.batch(num_preds, [3, 0, 6, 5])
    plan = assigner.match(preds, gts, metas)
    assert plan.weights.shape == (4, max(num_preds), 7)
    for image in range(4):
        alone = assigner.match([preds[image]], [gts[image]], [metas[image]])
        n, m = len(preds[image]), len(gts[image])
        close(plan.foreground[image, :n, :m], alone.foreground[0])
        close(plan.background[image, :n], alone.background[0])
        assert (plan.weights[image, n:] == 0).all()
        assert (plan.foreground[image, :, m:] == 0).all()


def test_images_may_come_in_any_order(assigner, draw):
    preds, gts, metas = draw.batch([25, 40, 8], [3, 0, 6])
    plan = assigner.match(preds, gts, metas)
    reverse = assigner.match(preds[::-1], gts[::-1], metas[::-1])
    close(reverse.weights.flip(0), plan.weights)


def test_layers_are_images(assigner, draw):
    scores, boxes = draw.rand(3, 2, 20, 5), draw.boxes(120).view(3, 2, 20, 4)
    gts = [draw.gts(4), draw.gts(1)]
    metas = [dict(img_shape=(160, 300)), dict(img_shape=(220, 90))]
    preds = [
        InstanceData(scores=score, bboxes=box)
        for score, box in zip(scores.flatten(0, 1), boxes.flatten(0, 1))
    ]
    layers = assigner.match_layers(scores, boxes, gts, metas)
    close(layers.weights, assigner.match(preds, gts * 3, metas * 3).weights)


def test_only_batch_max_makes_a_plan_depend_on_the_batch(draw):
    preds, gts, metas = draw.batch([20, 20], [3, 3])
    metas[1] = dict(img_shape=(20, 30))  # greater normalised distances
    cost = dict(type='BBoxL1Cost', weight=1.0)
    moved = {}
    for scaling in ('image_max', 'batch_max', 'none'):
        assigner = UOTAssigner(match_costs=cost, cost_scaling=scaling)
        alone = assigner.match(preds[:1], gts[:1], metas[:1]).weights[0]
        both = assigner.match(preds, gts, metas).weights[0]
        moved[scaling] = (both - alone).abs().max()
    assert moved['image_max'] < 2e-5
    assert moved['none'] < 2e-5
    assert moved['batch_max'] > 0.05


def test_image_max_makes_the_unit_of_the_cost_irrelevant(draw):
    preds, gts, metas = draw.batch([30], [4])
    plans = [
        UOTAssigner(
            match_costs=dict(type='BBoxL1Cost', weight=weight),
            background_cost=0.3 * weight,
            cost_scaling='image_max',
        ).match(preds, gts, metas)
        for weight in (1.0, 50.0)
    ]
    close(plans[1].weights, plans[0].weights)


@pytest.mark.parametrize('scaling', COST_SCALINGS)
def test_costs_that_are_all_zero_are_not_divided_by_zero(scaling):
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0]]).repeat(4, 1)
    gts = InstanceData(bboxes=boxes[:2], labels=torch.tensor([0, 1]))
    assigner = UOTAssigner(background_cost=0.0, cost_scaling=scaling)
    weights = assigner.match([InstanceData(priors=boxes)], [gts]).weights
    assert weights.isfinite().all()


def test_background_cost_per_prediction(draw):
    anchors, gts = draw.anchors(30), draw.gts(4)
    number = UOTAssigner(background_cost=0.5).match([anchors], [gts])
    constant = UOTAssigner(background_cost=[0.5] * 30).match([anchors], [gts])
    close(constant.weights, number.weights, 1e-6)

    dear = [0.5] * 30
    dear[7] = 0.9
    plan = UOTAssigner(background_cost=dear).match([anchors], [gts])
    assert plan.background[0, 7] < number.background[0, 7]
    free = [0.0 if row == 7 else 0.5 for row in range(30)]
    plan = UOTAssigner(background_cost=free).match([anchors], [gts])
    assert plan.background[0, 7] > number.background[0, 7]


def test_anchors_match_as_boxes_do(assigner, draw):
    if any('Class' in type(c).__name__ for c in assigner.match_costs):
        assigner.cost.match_costs = assigner.match_costs[-1:]
    anchors, gts = draw.anchors(20), draw.gts(3)
    boxes = InstanceData(bboxes=anchors.priors)
    assert torch.equal(
        assigner.match([anchors], [gts]).weights,
        assigner.match([boxes], [gts]).weights,
    )


@pytest.mark.parametrize(
    ('num_preds', 'num_gts'),
    [(0, 0), (0, 3), (1, 0), (1, 1), (1, 4), (3, 8), (4, 4), (9, 0)],
)
def test_every_size_has_a_finite_plan(assigner, num_preds, num_gts, draw):
    preds, gts, metas = draw.batch([num_preds], [num_gts])
    plan = assigner.match(preds, gts, metas)
    assert plan.weights.shape == (1, num_preds, num_gts + 1)
    assert plan.weights.isfinite().all()
    assert (plan.weights >= 0).all()


@pytest.mark.parametrize('name', ['default', 'balanced', 'hungarian'])
def test_without_ground_truths_all_is_background(name, draw):
    preds, gts, metas = draw.batch([9, 9], [0, 3])
    assigner = TASK_UTILS.build(ASSIGNERS[name])
    plan = assigner.match(preds, gts, metas)
    close(plan.background[0], torch.ones(9), 1e-2)
    assert (plan.foreground[0] == 0).all()


def test_more_ground_truths_than_predictions_share_them_evenly(draw):
    preds, gts, metas = draw.batch([3], [12])
    assigner = TASK_UTILS.build(
        dict(type='SinkhornAssigner', match_costs=COSTS, num_iters=500)
    )
    plan = assigner.match(preds, gts, metas)
    close(plan.gt_marginal[0, :-1], torch.full((12,), 3 / 12), 1e-4)
    close(plan.background, torch.zeros(1, 3))


def test_boxes_of_zero_area_have_a_finite_plan(assigner, draw):
    preds, gts, metas = draw.batch([12], [4])
    gts[0].bboxes[1, 2:] = gts[0].bboxes[1, :2]
    preds[0].bboxes[5, 2:] = preds[0].bboxes[5, :2]
    weights = assigner.match(preds, gts, metas).weights
    assert weights.isfinite().all()


def test_autocast_changes_nothing(assigner, draw):
    preds, gts, metas = draw.batch([20, 20], [3, 5])
    plain = assigner.match(preds, gts, metas)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = assigner.match(preds, gts, metas)
    assert mixed.weights.dtype == torch.float32
    assert torch.equal(mixed.weights, plain.weights)


def test_costs_are_computed_without_autocast(draw):
    preds, gts, metas = draw.batch([20], [3])
    assigner = UOTAssigner(match_costs=dict(type='DiceCost', pred_act=True))
    plain = assigner.match(preds, gts, metas)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = assigner.match(preds, gts, metas)
    assert torch.equal(mixed.weights, plain.weights)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_promoted_first(assigner, dtype, draw):
    preds, gts, metas = draw.batch([20], [3])
    for name in ('bboxes', 'scores'):
        preds[0].set_field(preds[0].get(name).to(dtype), name)
    half = assigner.match(preds, gts, metas)
    for name in ('bboxes', 'scores'):
        preds[0].set_field(preds[0].get(name).float(), name)
    assert torch.equal(half.weights, assigner.match(preds, gts, metas).weights)


def test_no_gradient_flows_into_the_plan(assigner, draw):
    preds, gts, metas = draw.batch([12], [3])
    preds[0].bboxes.requires_grad_()
    preds[0].scores.requires_grad_()
    plan = assigner.match(preds, gts, metas)
    assert not plan.weights.requires_grad
    layers = assigner.match_layers(
        preds[0].scores[None, None], preds[0].bboxes[None, None], gts, metas
    )
    assert not layers.weights.requires_grad


def test_inputs_are_left_as_they_are(assigner, draw):
    preds, gts, metas = draw.batch([12, 12], [3, 1])
    before = [x.clone() for x in (*preds, *gts)]
    assigner.match(preds, gts, metas)
    for instances, copy in zip((*preds, *gts), before):
        assert sorted(instances.keys()) == sorted(copy.keys())
        for name, value in instances.items():
            assert torch.equal(value, copy.get(name))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((0, 0, None, None), 'one entry per image, got 0, 0 and 0'),
        ((2, 1, None, None), 'one entry per image, got 2, 1 and 2'),
        ((1, 1, 2, None), 'one entry per image, got 1, 1 and 2'),
        ((2, 2, None, 1), r'one entry per image \(2\), got 1'),
    ],
)
def test_lengths_must_fit(arguments, message, draw):
    preds, gts, metas, ignore = arguments
    with pytest.raises(ValueError, match=message):
        UOTAssigner().match(
            [draw.anchors(4)] * preds,
            [draw.gts(2)] * gts,
            None if metas is None else [{}] * metas,
            None if ignore is None else [None] * ignore,
        )


@pytest.mark.parametrize('tau2', [0.01, 1.0, 'inf'])
def test_predictions_in_ignored_boxes_are_as_if_they_did_not_exist(tau2, draw):
    """Also for epsilon, which depends on the number of predictions."""
    preds, gts, metas = draw.batch([60, 60], [4, 3])
    crowd = InstanceData(bboxes=torch.tensor([[0.0, 0.0, 90.0, 300.0]]))
    assigner = UOTAssigner(match_costs=COSTS, tau2=tau2, ignore_iof_thr=0.5)
    plan = assigner.match(preds, gts, metas, [crowd, None])
    kept = plan.pred_mass[0] > 0
    assert 10 < kept.sum() < 50
    alone = assigner.match([preds[0][kept]], gts[:1], metas[:1])
    close(plan.weights[0, kept, :4], alone.weights[0, :, :4], 1e-6)
    assert not plan.weights[0, ~kept].any()
    other = assigner.match(preds[1:], gts[1:], metas[1:])
    close(plan.foreground[1, :, :3], other.foreground[0], 1e-6)


@pytest.mark.parametrize(
    ('lengths', 'words'),
    [
        ((2, 1, 2, 2), 'one entry per image, got 2, 1 and 2'),
        ((2, 2, 1, 2), 'one entry per image, got 2, 2 and 1'),
        ((2, 2, 2, 1), r'one entry per image \(2\), got 1'),
    ],
)
def test_with_a_stock_assigner_no_image_is_left_out(lengths, words):
    boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
    preds, gts, metas, ignored = lengths
    with pytest.raises(ValueError, match=words):
        match_batch(
            MaxIoUAssigner(0.5, 0.5),
            [InstanceData(priors=boxes)] * preds,
            [InstanceData(bboxes=boxes, labels=torch.tensor([0]))] * gts,
            [{}] * metas,
            [None] * ignored,
        )
