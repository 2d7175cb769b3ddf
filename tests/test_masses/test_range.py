"""Ranges of masses as an option."""

import pytest
import torch
from helpers.boxes import random_boxes
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment

from mmdet_uot.assigners import UOTAssigner

AT_LEAST_ONE = dict(
    gt_mass=(1, 'inf'), tau1='inf', tau2='inf', epsilon=1e-3, num_iters=2000
)


def image(seed, apart):
    """Anchors and ground truths, which overlap, or lie in cells apart."""
    generator = torch.Generator().manual_seed(seed)
    boxes = random_boxes(12, generator)
    if apart:
        cells = 70.0 * torch.cartesian_prod(torch.arange(4), torch.arange(3))
        boxes -= boxes[:, :2].repeat(1, 2)
        boxes += cells.repeat(1, 2)
    labels = torch.zeros(12, dtype=torch.long)
    anchors = random_boxes(1000, generator, corner=220.0)
    return InstanceData(priors=anchors), InstanceData(
        bboxes=boxes, labels=labels
    )


@pytest.mark.parametrize('seed', range(4))
def test_forced_matches_and_a_threshold_are_one_problem(seed):
    """SSD's two stages, and MaxIoUAssigner with its low-quality matches."""
    anchors, gts = image(seed, apart=True)
    stock = TASK_UTILS.build(
        dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            gt_max_assign_all=False,
        )
    ).assign(anchors, gts)
    ours = UOTAssigner(**AT_LEAST_ONE).assign(anchors, gts)
    cost = TASK_UTILS.build(dict(type='OneMinusIoUCost'))(anchors, gts)
    nearest = cost.topk(2, 0, largest=False).values
    # Anchors that are equally near share the mass.
    decided = torch.cat((torch.tensor([True]), nearest.diff(dim=0)[0] > 2e-3))
    for found, other in ((ours, stock), (stock, ours)):
        certain = decided[found.gt_inds] & (found.gt_inds > 0)
        assert torch.equal(found.gt_inds[certain], other.gt_inds[certain])
    assert decided.sum() > 6
    assert (cost.amin(0) > 0.5).any()


@pytest.mark.parametrize('seed', range(4))
def test_contested_predictions_go_where_they_are_missed_most(seed):
    """Two stages give them to the last one that wants them."""
    anchors, gts = image(seed, apart=False)
    ours = UOTAssigner(**AT_LEAST_ONE).assign(anchors, gts)
    cost = TASK_UTILS.build(dict(type='OneMinusIoUCost'))(anchors, gts)
    closest = torch.cat((cost, torch.full((1000, 1), 0.5)), 1).min(1)
    row, column = linear_sum_assignment(cost - closest.values[:, None])
    expected = torch.where(closest.indices == 12, 0, closest.indices + 1)
    expected[row] = torch.as_tensor(column) + 1
    assert (ours.gt_inds != expected).sum() <= 1  # equal to 1e-3
    assert torch.bincount(ours.gt_inds, minlength=13)[1:].all()


def test_a_schedule_of_ends_and_classes_as_ends(draw):
    preds, gts, metas = draw.batch([60, 40], [5, 2])
    for instances in gts:
        instances.low = torch.zeros(len(instances)) + 0.5
    assigner = UOTAssigner(
        gt_mass=('low', dict(type='DynamicMass', top=20)),
        match_costs=dict(type='OneMinusIoUCost'),
        tau1='inf',
        tau2='inf',
        num_iters=500,
    )
    plan = assigner.match(preds, gts, metas)
    problem_most = UOTAssigner(gt_mass=dict(type='DynamicMass', top=20))
    most = problem_most.match(preds, gts, metas).gt_mass
    for image, size in enumerate((5, 2)):
        N = len(preds[image])
        received = plan.gt_marginal[image, :size]
        assert (received >= 0.5 - 1e-3).all()
        assert (received <= N * most[image, :size] + 1e-3).all()


@pytest.mark.parametrize(
    'options',
    [
        dict(preset='hungarian'),
        dict(preset='sim_ota'),
        dict(preset='dual_softmax'),
    ],
)
def test_who_takes_no_range_says_so(options):
    with pytest.raises(
        ValueError, match='is a range, which .*Solver does not'
    ):
        UOTAssigner(gt_mass=(1, 2), **options)
