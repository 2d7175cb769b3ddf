"""A matching that leaves ground truths out says so, once, with a way out."""

import copy

import pytest
import torch
from mmengine.structures import InstanceData

from mmdet_uot.assigners import SinkhornAssigner, UOTAssigner

DETR = [
    dict(type='OneMinusProbCost', weight=2.0),
    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
    dict(type='OneMinusIoUCost', iou_mode='giou', weight=2.0),
]
METAS = [dict(img_shape=(300, 300))] * 2


def grid(side, step):
    """Anchors of one side."""
    corner = torch.cartesian_prod(*[torch.arange(0.0, 300, step)] * 2)
    return InstanceData(priors=torch.cat((corner, corner + side), 1))


def squares(count, side, at=40.0):
    corner = at + 9.0 * torch.arange(count).unsqueeze(1).expand(-1, 2)
    return InstanceData(
        bboxes=torch.cat((corner, corner + side), 1),
        labels=torch.zeros(count, dtype=torch.int64),
    )


def messages(assigner, preds, gts, log, steps=30):
    for _ in range(steps):
        assigner.match([preds] * 2, [gts] * 2, METAS)
    return log


def test_objects_that_no_anchor_fits_are_told_of(log):
    gts = InstanceData.cat([squares(6, 7), squares(3, 64, at=100)])
    (line,) = messages(UOTAssigner(), grid(64, 8), gts, log)
    assert line.startswith('67 % of 36 ground truths get less than 0.05')
    assert '100 % of 24 below 8 pixels; 0 % of 12 from 64' in line
    assert 'background_cost is 0.5' in line
    assert 'add anchors that fit boxes of 7 pixels' in line
    assert "preset='ssd_two_stage'" in line


def test_the_ways_out_lead_out(log):
    gts, anchors = squares(6, 7), grid(24, 8)
    closest = 1 - 7**2 / 24**2
    (line,) = messages(UOTAssigner(), anchors, gts, log)
    assert f'raise background_cost above {closest:.2g}' in line
    log.clear()
    for way in (
        dict(background_cost=0.95),
        dict(preset='ssd_two_stage'),
        dict(tau2='inf'),
    ):
        assert not messages(UOTAssigner(**way), anchors, gts, log)
    assert not messages(UOTAssigner(), grid(8, 3), gts, log)


def test_objects_that_ask_for_nothing_at_least_do_not_starve(log):
    gts, options = squares(6, 7), dict(tau1='inf', tau2='inf')
    at_most = UOTAssigner(gt_mass=(0, 2), **options)
    assert not messages(at_most, grid(64, 8), gts, log)


@pytest.mark.parametrize('scaling', ['none', 'image_max'])
def test_a_background_in_another_unit_is_told_of(scaling, draw, log):
    """A cost of 0.5 where those of DETR add up to some units."""
    preds, gts = draw.preds(100), draw.gts(5)
    good = UOTAssigner(match_costs=DETR)
    assert not messages(good, preds, gts, log)
    bad = UOTAssigner(match_costs=DETR, cost_scaling=scaling)
    (line,) = messages(bad, preds, gts, log)
    assert "take cost_scaling='unit'" in line
    assert 'anchors' not in line


@pytest.mark.parametrize('make', [UOTAssigner, SinkhornAssigner])
def test_a_data_set_without_ground_truths_is_told_of(make, draw, log):
    (line,) = messages(make(), draw.anchors(50), draw.gts(0), log, steps=3)
    assert line.startswith('none of the 4 images')
    assert 'classes' in line and 'tools/check_data.py' in line


def test_some_images_without_ground_truths_are_nothing_to_tell(
    draw,
    log,
):
    assigner = SinkhornAssigner()
    for _ in range(10):
        gts = [draw.gts(0), draw.gts(2)]
        assigner.match([draw.anchors(50)] * 2, gts, METAS)
    assert not log


def test_an_image_without_predictions_is_nothing_to_tell(draw, log):
    assigner = UOTAssigner(candidates=dict(type='IoUAbove'))
    preds, gts, metas = draw.batch((20, 0), (3, 2))
    for _ in range(4):
        assigner.match(preds, gts, metas)
    assert not log


def test_what_goes_on_is_told_again_after_long(log):
    assigner = UOTAssigner(num_iters=1)
    assigner.watch.looks = 499
    messages(assigner, grid(64, 32), squares(12, 7), log, steps=1)
    assert len(log) == 1


def test_nothing_is_left_of_what_was_looked_at(draw, log):
    """The plan, the costs' log and a copy are as without."""
    preds, gts = draw.preds(40), draw.gts(4)
    preds.bboxes[3] = float('nan')
    assigner = UOTAssigner(match_costs=DETR)
    copies = [copy.deepcopy(assigner) for _ in range(2)]
    copies[0].watch.calls = 6
    plans = [x.match([preds], [gts], METAS[:1]).weights for x in copies]
    assert torch.equal(*plans)
    counts = [x.cost.log.num_entries for x in copies]
    assert counts == [4, 4]
