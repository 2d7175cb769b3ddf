"""Class losses are sums over weighted pairs."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS

from mmdet_uot.losses import (
    check_class_loss,
    class_loss,
    class_mass,
    cross_entropy,
    focal,
)
from mmdet_uot.ot import TransportPlan

KINDS = ['soft', 'hard', 'ignored']

AUTOCAST = [torch.bfloat16]
if hasattr(torch, 'uint16'):  # From torch 2.3 on the CPU takes this, too.
    AUTOCAST.append(torch.float16)


def pairwise(weights, labels, scores, loss):
    """sum_j weights[b, i, j] * loss(scores[b, i], labels[b, j])."""
    total = torch.zeros_like(scores[..., 0])
    for image in range(len(scores)):
        for column in range(labels.shape[1]):
            label = labels[image, column].expand(scores.shape[1])
            value = loss(scores[image], label)
            total[image] += weights[image, :, column] * value
    return total


def ce(scores, label):
    return F.cross_entropy(scores, label, reduction='none')


def sigmoid_focal(scores, label, alpha=0.25, gamma=2.0):
    """Eq. (5) of the focal loss paper; labels beyond the last: none."""
    target = F.one_hot(label, scores.shape[1] + 1)[:, :-1].to(scores)
    p = scores.sigmoid()
    p_t = p * target + (1 - p) * (1 - target)
    alpha_t = alpha * target + (1 - alpha) * (1 - target)
    return (-alpha_t * (1 - p_t) ** gamma * p_t.log()).sum(1)


@pytest.mark.parametrize('kind', KINDS)
def test_class_mass_is_conserved(kind, matched):
    data = matched(kind)
    mass = class_mass(data.plan, data.labels, data.num_classes)
    assert mass.shape == (3, 40, 3)
    torch.testing.assert_close(mass.sum(2), data.plan.foreground.sum(2))
    for image in range(3):
        for label in range(3):
            columns = data.labels[image] == label
            torch.testing.assert_close(
                mass[image, :, label],
                data.plan.foreground[image][:, columns].sum(1),
            )


@pytest.mark.parametrize('kind', KINDS)
def test_labels_of_the_padding_mean_nothing(kind, matched):
    data = matched(kind)
    mass = class_mass(data.plan, data.labels, 3)
    data.labels[1], data.labels[2, 2:] = 99, -7
    assert torch.equal(class_mass(data.plan, data.labels, 3), mass)


@pytest.mark.parametrize('kind', KINDS)
def test_cross_entropy_is_the_sum_over_pairs(kind, matched):
    data = matched(kind)
    foreground, background = cross_entropy(data.scores, data.plan, data.labels)
    torch.testing.assert_close(
        foreground.double(),
        pairwise(data.plan.foreground, data.labels, data.scores, ce),
        rtol=1e-5,
        atol=1e-6,
    )
    label = torch.full((3, 40), 3)
    torch.testing.assert_close(
        background.double(),
        ce(data.scores.mT, label),
        rtol=1e-5,
        atol=1e-6,
    )


def test_no_ground_truths_in_the_whole_batch(rand):
    plan = TransportPlan.from_indices(torch.full((2, 7), -1), 0)
    labels = torch.empty((2, 0), dtype=torch.int64)
    scores = rand(2, 7, 4).float()
    assert (class_mass(plan, labels, 3) == 0).all()
    foreground, background = cross_entropy(scores, plan, labels)
    assert (foreground == 0).all()
    assert (background > 0).all()


def test_classes_may_weigh_differently(matched):
    data = matched('soft')
    weight = [0.5, 2.0, 1.0, 0.1]
    foreground, background = cross_entropy(
        data.scores, data.plan, data.labels, weight
    )

    def weighted(scores, label):
        weights = torch.tensor(weight, dtype=scores.dtype)
        return F.cross_entropy(scores, label, weights, reduction='none')

    torch.testing.assert_close(
        foreground.double(),
        pairwise(data.plan.foreground, data.labels, data.scores, weighted),
        rtol=1e-5,
        atol=1e-6,
    )
    torch.testing.assert_close(
        background.double(),
        weighted(data.scores.mT, torch.full((3, 40), 3)),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize('gamma', [2.0, 1.5, 0.0])
@pytest.mark.parametrize('kind', KINDS)
def test_focal_is_the_sum_over_pairs(kind, gamma, matched):
    data = matched(kind)
    scores = data.scores[..., :-1]

    def loss(scores, label):
        return sigmoid_focal(scores, label, 0.3, gamma)

    labels = torch.cat((data.labels, torch.full((3, 1), 3)), 1)
    torch.testing.assert_close(
        focal(scores, data.plan, data.labels, 0.3, gamma).double(),
        pairwise(data.plan.weights, labels, scores, loss),
        rtol=1e-5,
        atol=1e-6,
    )


def test_focal_of_a_soft_target_would_be_another_loss():
    half = torch.tensor([[[0.5, 0.5, 0.0]]])
    plan = TransportPlan(half, torch.ones(1, 1), torch.ones(1, 3))
    labels = torch.tensor([[0, 1]])
    scores = torch.tensor([[[8.0, 0.0]]])
    pairs = focal(scores, plan, labels).item()
    first, second = (
        sigmoid_focal(scores[0], labels[:, j]).item() for j in range(2)
    )
    assert pairs == pytest.approx((first + second) / 2, rel=1e-5)


MODULES = {
    'softmax': dict(type='CrossEntropyLoss', loss_weight=2.0),
    'focal': dict(type='FocalLoss', alpha=0.3, gamma=1.5, loss_weight=2.0),
}


@pytest.mark.parametrize('name', MODULES)
@pytest.mark.parametrize('kind', ['hard', 'ignored'])
def test_hard_plans_give_the_loss_of_the_module(kind, name, matched):
    data = matched(kind, torch.float32)
    module = MODELS.build(MODULES[name])
    check_class_loss(module)
    columns = slice(None) if name == 'softmax' else slice(0, -1)
    scores = data.scores[..., columns]
    value = class_loss(module, scores, data.plan, data.labels)
    labels = torch.cat((data.labels, torch.full((3, 1), 3)), 1)
    column = data.plan.weights.argmax(2)
    for image in range(3):
        expected = module(
            scores[image],
            labels[image, column[image]],
            data.plan.weights[image].sum(1),
            reduction_override='sum',
        )
        torch.testing.assert_close(value[image], expected)


@pytest.mark.parametrize(
    'config',
    [
        dict(type='CrossEntropyLoss', use_sigmoid=True),
        dict(type='FocalLoss', activated=True),
        dict(type='QualityFocalLoss'),
    ],
    ids=str,
)
def test_losses_that_are_no_sum_over_pairs_are_errors(config):
    with pytest.raises(TypeError, match=config['type']):
        check_class_loss(MODELS.build(config))


@pytest.mark.parametrize('dtype', AUTOCAST, ids=str)
def test_mass_stays_float32_under_autocast(dtype, matched):
    data = matched('soft', torch.float32)
    plain = cross_entropy(data.scores, data.plan, data.labels)
    with torch.autocast('cpu', dtype=dtype):
        mixed = cross_entropy(data.scores, data.plan, data.labels)
    for actual, expected in zip(mixed, plain):
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-7)
