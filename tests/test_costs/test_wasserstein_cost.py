"""The cost is the Wasserstein distance of Gaussians, and has its limits."""

import numpy as np
import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from scipy.linalg import sqrtm

from mmdet_uot.assigners import GaussianWassersteinCost
from mmdet_uot.costs.wasserstein_cost import gaussian_wasserstein

UNITS = [dict(), dict(unit='pixel', constant=40.0)]


@pytest.fixture
def boxes(draw):
    """Float64 boxes, of which some have a side, or both, of length zero."""
    boxes = draw.boxes(12).double()
    boxes[8:10, 2] = boxes[8:10, 0]
    boxes[9:11, 3] = boxes[9:11, 1]
    return boxes


def cost(config, boxes1, boxes2):
    match_cost = TASK_UTILS.build(
        dict(type='GaussianWassersteinCost', **config)
    )
    return match_cost(InstanceData(bboxes=boxes1), InstanceData(bboxes=boxes2))


def bures_wasserstein(box1, box2):
    """W^2 of any two Gaussians, whether their covariances commute or not."""
    (mean1, cov1), (mean2, cov2) = (
        ((box[:2] + box[2:]) / 2, np.diag((box[2:] - box[:2]) ** 2) / 4)
        for box in (box1, box2)
    )
    root = sqrtm(cov2)
    cross = sqrtm(root @ cov1 @ root)
    return np.sum((mean1 - mean2) ** 2) + np.trace(cov1 + cov2 - 2 * cross)


def test_distance_is_that_of_the_general_formula(boxes):
    expected = [
        [bures_wasserstein(a, b) for b in boxes.numpy()] for a in boxes.numpy()
    ]
    np.testing.assert_allclose(
        gaussian_wasserstein(boxes, boxes) ** 2, expected, rtol=1e-9, atol=1e-9
    )


def test_distance_is_a_metric(boxes):
    distance = gaussian_wasserstein(boxes, boxes)
    assert torch.equal(distance, distance.mT)
    off_diagonal = ~torch.eye(len(boxes), dtype=torch.bool)
    assert (distance.diagonal() == 0).all()
    assert (distance[off_diagonal] > 0).all()
    detour = distance[:, :, None] + distance[None, :, :]
    assert (distance[:, None, :] <= detour + 1e-12).all()


@pytest.mark.parametrize('config', UNITS, ids=str)
def test_cost_is_bounded_symmetric_and_zero_for_equal_boxes(config, boxes):
    for dtype in (torch.float64, torch.float32):
        value = cost(
            dict(config, weight=3.0), boxes.to(dtype), boxes.to(dtype)
        )
        assert value.dtype == dtype
        assert value.isfinite().all()
        assert (value.diagonal() == 0).all()
        assert (value >= 0).all()
        assert (value <= 3).all()
        torch.testing.assert_close(value, value.mT)


@pytest.mark.parametrize('size', [[40.0, 40.0], [20.0, 80.0]])
def test_the_constant_is_the_distance_that_costs_one_half(size):
    size = torch.tensor(size)
    mean_side = size.prod().sqrt()
    origin = torch.cat((torch.zeros(2), size))[None]
    for direction in ([1.0, 0.0], [0.6, -0.8]):
        step = torch.tensor(direction * 2)
        for unit, length in (('box', mean_side), ('pixel', 1.0)):
            config = dict(unit=unit, constant=12.0)
            value = cost(config, origin, origin + 12 * length * step)
            torch.testing.assert_close(value, torch.tensor([[0.5]]))


def test_the_default_is_one_half_where_the_iou_is():
    square = torch.tensor([[0.0, 0.0, 30.0, 30.0]])
    shifted = square + torch.tensor([10.0, 0.0, 10.0, 0.0])
    value = cost(dict(), square, shifted)
    torch.testing.assert_close(value, torch.tensor([[0.5]]))
    torch.testing.assert_close(value, 1 - bbox_overlaps(square, shifted))


@pytest.mark.parametrize(
    ('config', 'scale'), [(UNITS[0], 7.0), (UNITS[0], 1 / 400), (UNITS[1], 1)]
)
def test_what_the_cost_does_not_depend_on(config, scale, boxes):
    boxes = boxes[:8]
    value = cost(config, boxes, boxes.flip(0))
    moved = scale * (boxes + 11.0)
    torch.testing.assert_close(cost(config, moved, moved.flip(0)), value)


@pytest.mark.parametrize('config', UNITS, ids=str)
def test_boxes_apart_cost_more_the_farther_they_are(config):
    gt = torch.tensor([[50.0, 50.0, 70.0, 80.0]])
    steps = torch.arange(30.0, 200.0, 10)[:, None]
    for direction in ([1, 0, 1, 0], [0, -1, 0, -1], [1, 1, 1, 1]):
        away = gt + steps * torch.tensor(direction)
        assert (bbox_overlaps(away, gt) == 0).all()
        assert (cost(config, away, gt).diff(dim=0) > 0).all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(unit='image'), "unit must be 'box' or 'pixel', got 'image'"),
        (dict(constant=0), 'constant must be positive and finite, got 0'),
        (dict(constant=float('inf')), 'positive and finite, got inf'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        GaussianWassersteinCost(**options)
