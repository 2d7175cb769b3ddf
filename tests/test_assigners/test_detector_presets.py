"""The presets of later assigners against what they stand for."""

import math

import pytest
import torch
from helpers.boxes import random_boxes
from helpers.grids import SIDE, grid_image
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from mmdet_uot.assigners import SinkhornAssigner, UOTAssigner

close = torch.testing.assert_close
CROWDS = [False, True]


def is_inside(preds, gts, margin=0.0, boxes=False):
    """(N, M) bool, and the points (N, 2)."""
    point = preds.priors[:, :2]
    if boxes:
        point = (point + preds.priors[:, 2:]) / 2
    low = point[:, None] - gts.bboxes[:, :2]
    high = gts.bboxes[:, 2:] - point[:, None]
    return torch.cat((low, high), 2).amin(2) > margin, point


def is_near_center(preds, gts, radius=2.5):
    center = (gts.bboxes[:, :2] + gts.bboxes[:, 2:]) / 2
    distance = (preds.priors[:, None, :2] - center).abs()
    return (distance < radius * preds.priors[:, None, 2:]).all(2)


@pytest.mark.parametrize('crowd', CROWDS)
@pytest.mark.parametrize('seed', range(6))
def test_sim_ota_is_mmdets(seed, crowd):
    """But for pairs outside of the centre region, which mmdet's takes when it
    has no others."""
    preds, gts = grid_image('yolox', seed, crowd=crowd)
    stock = TASK_UTILS.build(dict(type='SimOTAAssigner')).assign(preds, gts)
    ours = UOTAssigner(preset='sim_ota').assign(preds, gts)
    inside, _ = is_inside(preds, gts)
    is_candidate = inside & is_near_center(preds, gts)
    assert not is_candidate[:, -1].any()
    matched = stock.gt_inds > 0
    column = stock.gt_inds.sub(1).clamp(min=0)
    allowed = is_candidate.gather(1, column[:, None])[:, 0]
    expected = torch.where(matched & allowed, stock.gt_inds, 0)
    assert torch.equal(ours.gt_inds, expected)
    assert (expected > 0).sum() > 20


@pytest.mark.parametrize('crowd', CROWDS)
@pytest.mark.parametrize('seed', range(6))
def test_task_aligned_is_mmdets(seed, crowd):
    """But for ground truths of which some of the 13 best priors lie outside,
    which mmdet's leaves out afterwards, and for predictions of several ground
    truths, which go to the best metric here and to the best IoU there."""
    preds, gts = grid_image('tood', seed, crowd=crowd)
    stock = TASK_UTILS.build(dict(type='TaskAlignedAssigner', topk=13))
    stock = stock.assign(preds, gts)
    ours = UOTAssigner(preset='task_aligned').assign(preds, gts)
    ious = bbox_overlaps(preds.bboxes, gts.bboxes)
    metric = preds.scores[:, gts.labels] * ious**6
    inside, _ = is_inside(preds, gts, margin=0.01, boxes=True)
    best = metric.topk(13, 0).indices
    stays_inside = inside.gather(0, best).all(0)
    assert 0 < stays_inside.sum() < len(gts)
    taken = torch.zeros_like(inside).scatter_(0, best, True) & inside
    contested = taken.sum(1) > 1
    other = ~stays_inside[ours.gt_inds.sub(1).clamp(min=0)]
    different = ours.gt_inds != stock.gt_inds
    same_winner = metric.argmax(1) == ious.where(taken, -1).argmax(1)
    assert not (different & ~other & ~(contested & ~same_winner)).any()
    assert (ours.gt_inds > 0).sum() > 20
    assert not (ours.gt_inds == len(gts)).any()


@pytest.mark.parametrize('crowd', CROWDS)
@pytest.mark.parametrize('seed', range(6))
def test_dynamic_soft_label_is_mmdets(seed, crowd):
    preds, gts = grid_image('rtmdet', seed, crowd=crowd)
    preds.scores = preds.scores.logit()
    stock = TASK_UTILS.build(dict(type='DynamicSoftLabelAssigner'))
    ours = UOTAssigner(preset='dynamic_soft_label').assign(preds, gts)
    assert torch.equal(ours.gt_inds, stock.assign(preds, gts).gt_inds)
    assert (ours.gt_inds > 0).sum() > 20


def test_yolox_has_the_same_losses():
    generator = torch.Generator().manual_seed(1)
    features = [
        torch.randn(2, 8, side, side, generator=generator)
        for side in (40, 20, 10)
    ]
    gts = [
        InstanceData(
            bboxes=random_boxes(4, generator, side=(30.0, 100.0)),
            labels=torch.randint(0, 5, (4,), generator=generator),
        )
        for _ in range(2)
    ]
    metas = [dict(img_shape=(SIDE, SIDE))] * 2
    losses = []
    for assigner in (
        dict(type='SimOTAAssigner'),
        dict(type='UOTAssigner', preset='sim_ota'),
    ):
        torch.manual_seed(0)
        head = MODELS.build(
            dict(
                type='YOLOXHead',
                num_classes=5,
                in_channels=8,
                feat_channels=8,
                stacked_convs=1,
                train_cfg=dict(assigner=assigner),
            )
        )
        losses.append(head.loss_by_feat(*head(features), gts, metas))
    stock, ours = losses
    assert stock['loss_bbox'] > 0
    close(ours, stock)


def focal_loss(logits, target):
    """(N,) Lin et al. 2017, alpha = 0.25, gamma = 2."""
    entropy = binary_cross_entropy_with_logits(
        logits, target, reduction='none'
    )
    factor = torch.where(target > 0, 0.25, 0.75)
    return (factor * (1 - (-entropy).exp()) ** 2 * entropy).sum(1)


def ota(preds, gts, num_iters=50):
    """The paper's algorithm: plan (N, M + 1) and matched columns."""
    logits = preds.scores.double()
    N, C = logits.shape
    inside, _ = is_inside(preds, gts)
    near = is_near_center(preds, gts)
    ious = bbox_overlaps(preds.bboxes, gts.bboxes).double()
    k = (ious * inside).topk(20, 0).values.sum(0).floor().clamp(min=1)
    k = torch.minimum(k, near.sum(0))
    columns = []
    for j, label in enumerate(gts.labels):
        target = one_hot(label, C).double().expand(N, C)
        loss = focal_loss(logits, target)
        cost = loss - 1.5 * (ious[:, j] + 1e-7).log()
        columns.append(cost.masked_fill(~near[:, j], math.inf))
    none = torch.zeros_like(logits)
    columns.append(focal_loss(logits, none))
    supply = torch.cat((k, N - k.sum(0, keepdim=True)))
    live = supply > 0
    log_k = -torch.stack(columns, 1)[:, live] / 0.1
    v = torch.zeros(int(live.sum())).double()
    for _ in range(num_iters):
        u = -torch.logsumexp(log_k + v, 1)
        v = supply[live].log() - torch.logsumexp(log_k + u[:, None], 0)
    plan = torch.zeros(N, len(live)).double()
    plan[:, live] = (log_k + u[:, None] + v).exp()
    return plan, k


@pytest.mark.parametrize('crowd', CROWDS)
@pytest.mark.parametrize('seed', range(3))
def test_ota_is_the_algorithm_of_its_paper(seed, crowd):
    preds, gts = grid_image('rtmdet', seed, crowd=crowd)
    preds.scores = preds.scores.logit()
    assigner = UOTAssigner(preset='ota')
    plan, k = ota(preds, gts)
    ours = assigner.match([preds], [gts])
    close(ours.weights[0].double(), plan, rtol=1e-3, atol=1e-4)
    close(ours.gt_marginal[0, :-1].double(), k, rtol=0, atol=1e-4)
    best = plan.argmax(1)
    expected = torch.where(best == len(gts), 0, best + 1)
    gt_inds = assigner.assign(preds, gts).gt_inds
    assert (gt_inds != expected).sum() <= 1  # of equal weights
    assert k.max() > 2


@pytest.mark.parametrize('k', [1, 4, None])
def test_one_to_many_is_hungarian_on_repeated_columns(k):
    preds, gts = grid_image('yolox', seed=1)
    cost = 1 - bbox_overlaps(preds.bboxes, gts.bboxes)
    assigner = UOTAssigner(
        preset='one_to_many',
        match_costs=dict(type='OneMinusIoUCost'),
        gt_mass=k,
    )
    result = assigner.assign(preds, gts)
    repeated = cost.repeat(1, k or 6).double()
    row, column = linear_sum_assignment(repeated.numpy())
    matched = (result.gt_inds > 0).nonzero()[:, 0]
    total = cost[matched, result.gt_inds[matched] - 1].sum()
    assert total.item() == pytest.approx(
        repeated[row, column].sum().item(), abs=1e-4
    )
    assert torch.bincount(result.gt_inds)[1:].tolist() == [k or 6] * len(gts)


@pytest.mark.parametrize('preset', ['sim_ota', 'task_aligned'])
def test_softness_begins_at_the_hard_matching(preset):
    """The masses stay the same."""
    preds, gts = grid_image('tood' if 'task' in preset else 'yolox', 2)
    hard = UOTAssigner(preset=preset).match([preds], [gts])
    soft, softer = (
        UOTAssigner(preset=preset, epsilon=epsilon, num_iters=2000).match(
            [preds], [gts]
        )
        for epsilon in (0.005, 3.0)
    )
    close(soft.gt_mass, hard.gt_mass)
    received = len(preds) * soft.gt_mass[0]
    close(soft.gt_marginal[0], received, rtol=1e-4, atol=1e-3)
    shared = [
        torch.minimum(plan.foreground, hard.foreground).sum()
        for plan in (soft, softer)
    ]
    assert shared[0] > 0.8 * hard.foreground.sum()
    assert shared[1] < 0.6 * hard.foreground.sum()


def test_presets_of_costs_may_be_given_differently():
    given = UOTAssigner(
        preset='ota',
        gt_mass=2,
        epsilon0=0.3,
        cost_scaling='unit',
        background_cost=0.5,
        num_iters=7,
    )
    assert given.mass.gt_mass == 2
    assert given.solver.epsilon is None
    assert (given.solver.epsilon0, given.solver.num_iters) == (0.3, 7)
    assert given.cost.background_cost == 0.5
    assert isinstance(SinkhornAssigner(gt_mass=2).mass.gt_mass, float)
