"""The grey zone between negatives and positives is that of MaxIoUAssigner."""

import pytest
import torch
from helpers.boxes import random_boxes
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmengine.structures import InstanceData

from mmdet_uot.assigners import SinkhornAssigner, UOTAssigner

BAND = (0.3, 0.6)


def problem(seed, num_preds=300, num_gts=7):
    generator = torch.Generator().manual_seed(seed)
    boxes = random_boxes(num_gts, generator, corner=60, side=(15, 50))
    near = boxes[torch.arange(num_preds) % max(num_gts, 1)] if num_gts else 0
    priors = random_boxes(num_preds, generator, corner=60, side=(15, 50))
    near = near + 6 * torch.randn(num_preds, 4, generator=generator)
    half = torch.arange(num_preds) % 2 == 0
    if num_gts:
        priors[half] = near[half]
        priors[:, 2:] = torch.maximum(priors[:, 2:], priors[:, :2] + 3)
    return (
        InstanceData(priors=priors),
        InstanceData(bboxes=boxes, labels=torch.arange(num_gts)),
    )


@pytest.mark.parametrize(
    ('preset', 'forced'),
    [('closest_ground_truth', False), ('ssd_two_stage', True)],
)
@pytest.mark.parametrize('num_gts', [0, 1, 7, 40])
def test_hard_corners_equal_max_iou(preset, forced, num_gts):
    low, high = BAND
    oracle = MaxIoUAssigner(
        high,
        low,
        min_pos_iou=0.0,
        gt_max_assign_all=False,
        match_low_quality=forced,
    )
    ours = UOTAssigner(
        preset=preset, background_cost=1 - high, ignore_band=BAND
    )
    for seed in range(5):
        pred, gt = problem(seed, num_gts=num_gts)
        expected = oracle.assign(pred, gt).gt_inds
        assert torch.equal(ours.assign(pred, gt).gt_inds, expected)
        if num_gts:
            assert (expected < 0).any()
            assert (expected > 0).any()


IOU = dict(type='OneMinusIoUCost')


@pytest.mark.parametrize(
    ('assigner', 'insists'),
    [
        (UOTAssigner(ignore_band=BAND), False),
        (UOTAssigner(ignore_band=BAND, tau2=5.0), True),
        (SinkhornAssigner(match_costs=IOU, ignore_band=BAND), True),
    ],
    ids=['free', 'unbalanced', 'balanced'],
)
def test_plans_have_no_mass_in_the_band(assigner, insists):
    pred, gt = problem(3)
    low, high = BAND
    oracle = MaxIoUAssigner(high, low, match_low_quality=False)
    in_band = oracle.assign(pred, gt).gt_inds < 0
    plan = assigner.match([pred], [gt])
    none = plan.pred_marginal[0] == 0
    if not insists:
        assert torch.equal(none, in_band)
    # The closest of each ground truth may take part.
    assert int((none != in_band).sum()) <= len(gt)
    assert not (none & ~in_band).any()
    assert torch.equal(assigner.assign(pred, gt).gt_inds < 0, none)


@pytest.mark.parametrize('band', [(0.5, 0.4), 0.5, (0.1, 0.2, 0.3), (0, 2)])
def test_what_is_no_band_is_refused(band):
    with pytest.raises(ValueError, match='ignore_band must be two IoUs'):
        UOTAssigner(ignore_band=band)
