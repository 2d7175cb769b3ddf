"""Ground truths get the mass that they ask for, the background the rest."""

import re

import pytest
import torch
from mmdet.evaluation import bbox_overlaps
from mmdet.registry import TASK_UTILS
from scipy.optimize import linear_sum_assignment

from mmdet_uot.assigners import SinkhornAssigner, UOTAssigner
from mmdet_uot.masses import asked

close = torch.testing.assert_close
IOU = dict(type='OneMinusIoUCost')


class Areas:
    """A registered class that is not ours: one mass per ten pixels."""

    def __call__(self, batch):
        sides = batch.gt_boxes[..., 2:] - batch.gt_boxes[..., :2]
        return sides.prod(2).sqrt() / 10


TASK_UTILS.register_module(module=Areas)


def balanced(gt_mass, **options):
    return SinkhornAssigner(
        match_costs=IOU,
        gt_mass=gt_mass,
        epsilon=0.05,
        num_iters=1000,
        **options,
    )


def batch_of(draw, num_preds=(60, 60, 40), num_gts=(4, 0, 7)):
    preds, gts, metas = draw.batch(num_preds, num_gts)
    for instances in gts:
        instances.weights = 3 * draw.rand(len(instances))
    return preds, gts, metas


def sides(pred, gt):
    return (gt.bboxes[:, 2:] - gt.bboxes[:, :2]).prod(1).sqrt() / 10


def dynamic(pred, gt, top=10):
    ious = bbox_overlaps(gt.bboxes.numpy(), pred.bboxes.numpy())
    ious = torch.tensor(ious).reshape(len(gt), len(pred))
    greatest = ious.sort(1, descending=True).values[:, :top]
    return greatest.sum(1).floor().clamp(min=1)


@pytest.mark.parametrize(
    ('gt_mass', 'expected'),
    [
        (1, lambda pred, gt: torch.ones(len(gt))),
        (2.5, lambda pred, gt: torch.full((len(gt),), 2.5)),
        ('weights', lambda pred, gt: gt.weights),
        (dict(type='Areas'), sides),
        (dict(type='DynamicMass'), dynamic),
    ],
    ids=['number', 'fraction', 'field', 'class', 'dynamic'],
)
def test_every_ground_truth_gets_its_mass_and_the_background_the_rest(
    gt_mass, expected, draw
):
    preds, gts, metas = batch_of(draw)
    plan = balanced(gt_mass).match(preds, gts, metas)
    for image, (pred, gt) in enumerate(zip(preds, gts)):
        masses, received = expected(pred, gt), plan.gt_marginal[image]
        close(received[: len(gt)], masses, rtol=0, atol=1e-5)
        assert not received[len(gt) : -1].any()
        rest = len(pred) - masses.sum()
        close(received[-1], rest, rtol=1e-5, atol=1e-5)
        close(plan.pred_marginal[image, : len(pred)], torch.ones(len(pred)))


@pytest.mark.parametrize('epsilon', [0, 0.05])
def test_more_mass_than_predictions_is_shared_in_proportion(epsilon, draw):
    preds, gts, metas = draw.batch([12], [3])
    gts[0].weights = torch.tensor([8.0, 12, 4])
    assigner = SinkhornAssigner(
        match_costs=IOU, gt_mass='weights', epsilon=epsilon, num_iters=500
    )
    received = assigner.match(preds, gts, metas).gt_marginal[0]
    close(received, torch.tensor([4.0, 6, 2, 0]), rtol=0, atol=1e-5)


def test_masses_of_one_are_no_masses_to_the_last_bit(draw):
    preds, gts, metas = batch_of(draw)
    for instances in gts:
        instances.ones = torch.ones(len(instances))
    for options in (dict(), dict(preset='balanced'), dict(preset='hungarian')):
        expected = UOTAssigner(**options).match(preds, gts, metas)
        for gt_mass in (1, 1.0, 'ones'):
            assigner = UOTAssigner(gt_mass=gt_mass, **options)
            plan = assigner.match(preds, gts, metas)
            assert plan.weights.equal(expected.weights)


@pytest.mark.parametrize('k', [1, 3, 5])
def test_hungarian_is_scipy_on_repeated_columns(k, draw):
    preds, gts, _ = draw.batch([30, 12], [4, 6])
    plan = UOTAssigner(preset='hungarian', match_costs=IOU, gt_mass=k).match(
        preds, gts
    )
    for image, (pred, gt) in enumerate(zip(preds, gts)):
        cost = TASK_UTILS.build(IOU)(pred, gt)
        repeated = cost.repeat(1, k).double().numpy()
        row, column = linear_sum_assignment(repeated)
        total = (cost * plan.foreground[image, : len(pred), : len(gt)]).sum()
        assert total.item() == pytest.approx(
            repeated[row, column].sum(), abs=1e-5
        )
        assert plan.foreground[image].sum() == len(row)
        assert (plan.gt_marginal[image, : len(gt)] <= k).all()


def test_masses_may_differ_and_fractions_are_rounded_up(draw):
    preds, gts, metas = draw.batch([30], [4])
    gts[0].weights = torch.tensor([2.0, 0, 0.3, 4.5])
    assigner = UOTAssigner(preset='hungarian', gt_mass='weights')
    received = assigner.match(preds, gts, metas).gt_marginal[0]
    assert received.tolist() == [2, 0, 1, 5, 22]


@pytest.mark.parametrize('view', ['one_to_one', 'best_prediction'])
def test_views_give_each_as_many_predictions_as_it_asks_for(view, draw):
    preds, gts, metas = draw.batch([80], [3])
    gts[0].bboxes = torch.tensor(
        [[0.0, 0, 50, 50], [60, 60, 120, 120], [0, 130, 60, 190]]
    )
    result = balanced(4, hard_view=view).assign(
        preds[0], gts[0], img_meta=metas[0]
    )
    counts = [(result.gt_inds == j).sum().item() for j in (1, 2, 3)]
    assert counts == [4, 4, 4] or view == 'best_prediction'
    assert max(counts) == 4


def test_closest_prediction_gets_all_of_the_mass(draw):
    """The limit of its corner, where predictions may be taken often."""
    preds, gts, _ = draw.batch([20], [3])
    plan = UOTAssigner(preset='closest_prediction', gt_mass=3).match(
        preds, gts
    )
    expected = TASK_UTILS.build(IOU)(preds[0], gts[0]).argmin(0)
    assert torch.equal(plan.foreground[0].argmax(0), expected)
    close(plan.gt_marginal[0], torch.tensor([3.0, 3, 3, 11]))


@pytest.mark.parametrize('of_library', [True, False])
@pytest.mark.parametrize('N', [5, 6000])
def test_dynamic_mass_of_few_and_of_many_predictions(
    N, of_library, draw, monkeypatch
):
    if not of_library:
        monkeypatch.setattr(asked, 'sums_of_greatest', lambda *_: None)
    preds, gts, metas = draw.batch([N], [6])
    gts[0].bboxes[0] = 1000 + gts[0].bboxes[0]  # overlaps nothing
    expected = dynamic(preds[0], gts[0], top=20)
    assert expected[0] == 1
    assert expected.max() > 1 or N == 5
    plan = balanced(dict(type='DynamicMass', top=20)).match(preds, gts, metas)
    total = max(N, expected.sum())
    close(plan.gt_mass[0, :-1], expected / total)
    blank = balanced(dict(type='DynamicMass', top=20)).match(
        preds, [gts[0][:0]], metas
    )
    close(blank.gt_mass, torch.ones(1, 1))


@pytest.mark.parametrize(
    ('gt_mass', 'message'),
    [
        (0, 'gt_mass must be a positive and finite number of predictions'),
        (float('inf'), 'got inf; 1 asks for one'),
        (1j, 'gt_mass must be a number, a field of gt_instances or'),
        ([1], 'a range of gt_mass must be (least, greatest)'),
        ((2, 1), 'got (2, 1)'),
        ((-1, 1), 'with 0 <= least <= greatest'),
        (('inf', 'inf'), 'range of gt_mass'),
        (True, 'got True'),
        (dict(type='DynamicMass', top=0), 'top must be a whole number of at'),
    ],
    ids=str,
)
def test_wrong_masses_are_named(gt_mass, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        UOTAssigner(gt_mass=gt_mass)


def test_a_missing_field_is_named(draw):
    preds, gts, _ = draw.batch([5], [2])
    with pytest.raises(ValueError, match='`weights` of batch_gt_instances'):
        UOTAssigner(gt_mass='weights').match(preds, gts)
