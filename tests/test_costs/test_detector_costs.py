"""The costs of later assigners, against torch's losses and their formulas."""

import pytest
import torch
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from mmdet.models.task_modules.assigners.match_cost import FocalLossCost
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from mmdet_uot.assigners import UOTAssigner
from mmdet_uot.costs.span import span_of
from mmdet_uot.inputs.from_instances import InstanceBatch

close = torch.testing.assert_close


@pytest.fixture
def pair(draw):
    return draw.preds(40), draw.gts(6)


def cost_of(pair, **config):
    return TASK_UTILS.build(config)(*pair)


def losses(pair, labels, function):
    """(N, M) losses if all predictions were of a class."""
    scores = pair[0].scores
    targets = one_hot(labels, scores.shape[1]).float()
    return torch.stack(
        [
            function(scores, target.expand_as(scores)).sum(1)
            for target in targets
        ],
        1,
    )


def entropy(scores, target):
    return binary_cross_entropy_with_logits(scores, target, reduction='none')


def focal(scores, target):
    return py_sigmoid_focal_loss(scores, target, reduction='none')


@pytest.mark.parametrize(
    ('name', 'loss'), [('Binary', entropy), ('Focal', focal)]
)
def test_class_losses_and_those_of_the_background(name, loss, pair):
    expected = losses(pair, pair[1].labels, loss)
    close(cost_of(pair, type=f'{name}ClassCost', weight=1.5), 1.5 * expected)
    background = TASK_UTILS.build(
        dict(type=f'{name}BackgroundCost', weight=1.5)
    ).of_background(InstanceBatch([pair[0]], [pair[1]], None))
    scores = pair[0].scores
    none = loss(scores, torch.zeros_like(scores)).sum(1)
    close(background[0], 1.5 * none)


@pytest.mark.parametrize('name', ['BinaryClassCost', 'FocalClassCost'])
def test_probabilities_may_be_given(name, pair):
    expected = cost_of(pair, type=name)
    pair[0].scores = pair[0].scores.sigmoid()
    close(cost_of(pair, type=name, scores='probabilities'), expected)


def test_alignment_is_the_logarithm_of_tals_metric(pair):
    ious = bbox_overlaps(pair[0].bboxes, pair[1].bboxes)
    p = pair[0].scores.sigmoid()[:, pair[1].labels]
    cost = cost_of(pair, type='AlignmentCost', alpha=0.5, beta=3.0)
    close((-cost).exp(), p**0.5 * ious**3, rtol=1e-4, atol=1e-6)
    log = cost_of(pair, type='NegLogIoUCost', weight=2.0)
    close((-log / 2).exp(), ious, rtol=1e-4, atol=1e-6)


def test_soft_labels_are_the_targets_of_a_quality_focal_loss(pair):
    ious = bbox_overlaps(pair[0].bboxes, pair[1].bboxes)
    scores = pair[0].scores[:, None].expand(-1, ious.shape[1], -1)
    target = one_hot(pair[1].labels, scores.shape[2]) * ious[..., None]
    loss = entropy(scores, target) * (target - scores.sigmoid()).abs() ** 1.5
    cost = cost_of(pair, type='SoftLabelCost', gamma=1.5, weight=2.0)
    close(cost, 2 * loss.sum(2), rtol=1e-4, atol=1e-5)


def test_a_prior_at_the_radius_costs_the_weight(pair):
    preds, gts = pair
    x, y = (gts.bboxes[:, :2] + gts.bboxes[:, 2:]).div(2).unbind(1)
    stride = torch.tensor(8.0).expand_as(x)
    preds = preds[: len(x)]
    preds.priors = torch.stack((x + 8 * 2.5, y, stride, stride), 1)
    cost = cost_of(
        (preds, gts), type='CenterDistanceCost', radius=2.5, weight=3.0
    )
    close(cost.diagonal(), torch.full_like(x, 3.0))
    preds.priors[:, 0] += 1e6
    far = cost_of((preds, gts), type='CenterDistanceCost')
    close(far, torch.full_like(far, 1e6))


def test_position_modulated_cost(pair):
    giou = (bbox_overlaps(pair[0].bboxes, pair[1].bboxes, 'giou') + 1) / 2
    u = giou / giou.max()
    p = pair[0].scores.sigmoid()[:, pair[1].labels] * u**0.5
    positive = -0.25 * (1 - p) ** 2 * p.log()
    negative = -0.75 * p**2 * (1 - p).log()
    cost = cost_of(pair, type='PositionModulatedCost', weight=2.0)
    close(cost, 2 * (positive - negative), rtol=1e-4, atol=1e-5)
    plain = cost_of(pair, type='PositionModulatedCost', beta=0.0)
    close(plain, FocalLossCost()(*pair), rtol=1e-4, atol=1e-5)
    assert span_of(
        TASK_UTILS.build(dict(type='PositionModulatedCost'))
    ) == pytest.approx(span_of(FocalLossCost()))


def test_powers_begin_at_the_best_of_pairs(pair):
    config = dict(type='IoUCost', iou_mode='iou', weight=2.0)
    cost = cost_of(pair, type='PowerCost', cost=config, power=1.5)
    ious = bbox_overlaps(pair[0].bboxes, pair[1].bboxes)
    close(cost, (2 - 2 * ious) ** 1.5, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match='DiceCost does not'):
        TASK_UTILS.build(dict(type='PowerCost', cost=dict(type='DiceCost')))


@pytest.mark.parametrize('scaling', ['unit', 'image_max', 'none', 3.0])
@pytest.mark.parametrize('preset', ['closest_ground_truth', 'hungarian'])
def test_the_background_has_the_unit_of_the_costs(scaling, preset, pair):
    """Exact matchers see the same threshold whatever the unit."""
    preds, gts = pair
    assigner = UOTAssigner(
        preset=preset,
        match_costs=dict(type='BinaryClassCost'),
        background_cost=dict(type='BinaryBackgroundCost'),
        cost_scaling=scaling,
    )
    result = assigner.match([preds], [gts]).foreground[0]
    if preset == 'closest_ground_truth':
        # The class costs less than none if it is more likely than not.
        likely = (preds.scores[:, gts.labels] > 0).any(1)
        assert torch.equal(result.sum(1) > 0, likely)
    assert result.sum() > 0


def test_a_soft_background_of_its_own_is_a_threshold_too(pair):
    preds, gts = pair
    options = dict(
        match_costs=dict(type='BinaryClassCost'),
        background_cost=dict(type='BinaryBackgroundCost'),
        tau1='inf',
        tau2=0,
    )
    hard = UOTAssigner(epsilon=0, **options).match([preds], [gts])
    soft = UOTAssigner(epsilon=1e-4, **options).match([preds], [gts])
    close(soft.background, hard.background, rtol=0, atol=1e-3)


def test_what_is_no_background_cost_is_named():
    with pytest.raises(ValueError, match='config of a background cost'):
        UOTAssigner(background_cost=dict(type='IoUCost'))
