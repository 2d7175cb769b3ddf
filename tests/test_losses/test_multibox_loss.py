"""The loss of SSD: hard negatives by mass, pairs by weight."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS

from mmdet_uot.losses import UOTMultiBoxLoss, mine_hard_negatives
from mmdet_uot.ot import SparsePlan, TransportPlan

KINDS = ['soft', 'hard', 'ignored']


def mine_slowly(loss, plan, ratio):
    """Sec. 3.2 to the letter, one prediction after the other."""
    kept = torch.zeros_like(loss, dtype=torch.bool)
    for image in range(len(loss)):
        budget = ratio * plan.foreground[image].sum().item()
        background = plan.background[image].tolist()
        weighted = (plan.background[image] * loss[image]).tolist()
        spent = 0.0
        for row in sorted(range(len(weighted)), key=lambda i: -weighted[i]):
            spent += background[row]
            if spent > budget:
                break
            kept[image, row] = True
    return kept


@pytest.mark.parametrize('ratio', [0, 0.5, 3, 100])
@pytest.mark.parametrize('kind', KINDS)
def test_mining_follows_the_paper(kind, ratio, matched, rand):
    plan = matched(kind).plan
    loss = rand(3, 40)
    kept = mine_hard_negatives(loss, plan, ratio)
    assert kept.dtype == torch.bool
    expected = mine_slowly(loss, plan, ratio)
    assert torch.equal(
        kept & (plan.background > 0), expected & (plan.background > 0)
    )
    spent = (plan.background * kept).sum(1)
    assert (spent <= ratio * plan.foreground.sum((1, 2)) + 1e-12).all()


def test_a_ratio_without_end_keeps_all_of_images_with_objects(matched, rand):
    plan = matched('hard').plan
    kept = mine_hard_negatives(rand(3, 40), plan, float('inf'))
    assert kept[0].all() and not kept[1].any() and kept[2].all()


@pytest.mark.parametrize('form', ['matrix', 'pairs'])
def test_a_training_that_has_diverged_shows(form, matched, losses):
    data = matched('hard')
    data.scores.fill_(float('nan'))
    plan = data.plan
    if form == 'pairs':
        data.plan = SparsePlan(
            plan.pairs(), plan.background, plan.pred_mass, plan.gt_mass
        )
    assert all(x.isnan().all() for x in losses(data)['loss_cls'])


@pytest.mark.parametrize('least', [0.0, 0.9])
def test_light_backgrounds_are_many_hard_negatives(least, rand):
    N = 3000
    background = least + (1 - least) * rand(2, N)
    background[1] *= 0.01
    weights = torch.zeros(2, N, 3, dtype=torch.float64)
    weights[..., 2], weights[:, :4, 0] = background, 1.0
    plan = TransportPlan(weights, weights.sum(2), weights.sum(1))
    loss = rand(2, N)
    kept = mine_hard_negatives(loss, plan, 3)
    assert torch.equal(kept, mine_slowly(loss, plan, 3))
    assert kept[1].sum() > 10 * kept[0].sum() > 0


@pytest.mark.parametrize('ratio', [1, 3, 100])
@pytest.mark.parametrize('kind', ['hard', 'ignored'])
def test_mining_of_a_hard_plan_is_topk(kind, ratio, matched, rand):
    plan = matched(kind).plan
    loss = rand(3, 40)
    kept = mine_hard_negatives(loss, plan, ratio)
    for image in range(3):
        negatives = (loss * plan.background)[image]
        count = int(ratio * plan.foreground[image].sum())
        best = negatives.topk(min(count, 40)).values.sum()
        torch.testing.assert_close((negatives * kept[image]).sum(), best)


def test_mining_is_not_part_of_the_graph(matched, rand):
    loss = rand(3, 40).requires_grad_()
    assert not mine_hard_negatives(loss, matched('soft').plan, 3).requires_grad


@pytest.fixture
def losses():
    """Losses of a batch of `matched` by an UOTMultiBoxLoss."""

    def compute(data, **options):
        loss = UOTMultiBoxLoss(**options)
        pairs = loss.box_pairs(data.plan)
        return loss(
            data.scores,
            data.labels,
            data.plan,
            pairs,
            data.pred[pairs.image, pairs.prediction],
            data.target[pairs.image, pairs.ground_truth],
        )

    return compute


def slow_losses(data, ratio=3.0, pos_weight=1.0, beta=1.0):
    """Sec. 3.2, pair by pair."""
    plan, scores = data.plan, data.scores
    average = plan.foreground.sum((1, 2)).clamp(min=1).sum()
    empty = torch.full((3, 40), data.num_classes)
    background = F.cross_entropy(scores.mT, empty, reduction='none')
    hard = mine_slowly(background.detach(), plan, ratio)
    cls, box = [], []
    for image in range(3):
        total = (plan.background * background * hard)[image].sum()
        boxes = torch.zeros_like(total)
        for column in range(5):
            weight = plan.foreground[image, :, column]
            label = data.labels[image, column].expand(40)
            ce = F.cross_entropy(scores[image], label, reduction='none')
            total = total + pos_weight * (weight * ce).sum()
            distance = F.smooth_l1_loss(
                data.pred[image],
                data.target[image, column].expand(40, 4),
                beta=beta,
                reduction='none',
            )
            boxes = boxes + (weight * distance.sum(1)).sum()
        cls.append(total / average)
        box.append(boxes / average)
    return dict(loss_cls=cls, loss_bbox=box)


@pytest.mark.parametrize(
    'options',
    [{}, dict(pos_weight=2.5), dict(ratio=0.5), dict(beta=0.1)],
    ids=str,
)
@pytest.mark.parametrize('form', ['matrix', 'pairs'])
@pytest.mark.parametrize('kind', KINDS)
def test_equals_the_sum_over_pairs_with_gradients(
    kind, form, options, matched, losses
):
    data = matched(kind)
    if form == 'pairs':
        plan = data.plan
        data.plan = SparsePlan(
            plan.pairs(), plan.background, plan.pred_mass, plan.gt_mass
        )
    leaves = [data.scores.requires_grad_(), data.pred.requires_grad_()]
    box = dict(type='SmoothL1Loss', beta=options.get('beta', 1.0))
    actual = losses(
        data,
        min_mass=0.0,
        loss_bbox=box,
        neg_pos_ratio=options.get('ratio', 3.0),
        pos_weight=options.get('pos_weight', 1.0),
    )
    expected = slow_losses(data, **options)
    grads = []
    for value in (actual, expected):
        total = sum(x.sum() for x in value['loss_cls'] + value['loss_bbox'])
        grads.append(torch.autograd.grad(total, leaves))
    for name, shape in (('loss_cls', (1,)), ('loss_bbox', ())):
        assert [x.shape for x in actual[name]] == [shape] * 3
        for x, y in zip(actual[name], expected[name]):
            torch.testing.assert_close(
                x.view(()).double(), y, rtol=1e-5, atol=1e-7
            )
    for x, y in zip(*grads):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-8)


def test_averages_by_at_least_one_per_image(matched, losses):
    data = matched('hard')
    foreground = data.plan.foreground.sum((1, 2))
    assert foreground[1] == 0
    values = losses(data)
    assert values['loss_cls'][1] == 0
    assert values['loss_bbox'][1] == 0
    average = foreground[0] + 1 + foreground[2]
    pairs = data.plan.pairs()
    distance = F.smooth_l1_loss(
        data.pred[pairs.image, pairs.prediction],
        data.target[pairs.image, pairs.ground_truth],
        reduction='sum',
    )
    torch.testing.assert_close(sum(values['loss_bbox']), distance / average)


@pytest.mark.parametrize('num_gts', [0, 3])
def test_without_objects_every_parameter_has_a_gradient(num_gts, rand):
    scores = rand(2, 9, 4).float().requires_grad_()
    deltas = rand(2, 9, 4).float().requires_grad_()
    plan = TransportPlan.from_indices(torch.full((2, 9), -1), num_gts)
    loss = UOTMultiBoxLoss()
    pairs = loss.box_pairs(plan)
    values = loss(
        scores,
        torch.zeros((2, num_gts), dtype=torch.int64),
        plan,
        pairs,
        deltas[pairs.image, pairs.prediction],
        torch.zeros(0, 4),
    )
    total = sum(x.sum() for x in values['loss_cls'] + values['loss_bbox'])
    assert total == 0
    total.backward()
    assert (scores.grad == 0).all()
    assert (deltas.grad == 0).all()


@pytest.mark.parametrize('name', ['IoULoss', 'GIoULoss', 'DIoULoss', 'L1Loss'])
@pytest.mark.parametrize('kind', KINDS)
def test_any_box_loss_that_takes_weights(kind, name, matched, losses):
    data = matched(kind, torch.float32)
    for boxes in (data.pred, data.target):
        boxes[..., 2:] += boxes[..., :2]
    config = dict(type=name, loss_weight=2.0)
    values = losses(data, loss_bbox=config, min_mass=0.0)['loss_bbox']
    average = data.plan.foreground.sum((1, 2)).clamp(min=1).sum()
    module = MODELS.build(config)
    for image in range(3):
        expected = torch.zeros(())
        for column in range(5):
            value = module(
                data.pred[image],
                data.target[image, column].expand(40, 4).contiguous(),
                reduction_override='none',
            )
            weight = data.plan.foreground[image, :, column]
            expected = expected + (weight * value.view(40, -1).sum(1)).sum()
        torch.testing.assert_close(
            values[image], expected / average, rtol=1e-4, atol=1e-6
        )


def test_half_precision_gives_float32_losses(matched, losses):
    data = matched('soft', torch.float32)
    expected = losses(data)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        same = losses(data)
        data.scores, data.pred = data.scores.half(), data.pred.half()
        half = losses(data)
    for name in ('loss_cls', 'loss_bbox'):
        for x, y, z in zip(expected[name], same[name], half[name]):
            torch.testing.assert_close(y, x, rtol=1e-6, atol=1e-7)
            assert z.dtype == torch.float32
            torch.testing.assert_close(z, x, rtol=1e-2, atol=1e-3)


def test_misspelt_options_are_errors():
    with pytest.raises(TypeError, match='negative_ratio'):
        MODELS.build(dict(type='UOTMultiBoxLoss', negative_ratio=3))
