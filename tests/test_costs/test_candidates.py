"""Pairs outside of the candidates take no mass."""

import re

import pytest
import torch
from helpers.grids import grid_image
from mmdet.models.task_modules.assigners import SimOTAAssigner
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps

from mmdet_uot.assigners import UOTAssigner
from mmdet_uot.costs import exclusion
from mmdet_uot.costs.candidates import IoUAbove
from mmdet_uot.costs.matching_cost import MatchingCost
from mmdet_uot.inputs.from_instances import InstanceBatch
from mmdet_uot.inputs.ground_truths import GroundTruths

IN_BOX = dict(type='InsideBox')
IN_CENTER = dict(type='CenterRegion', radius=2.5)
close = torch.testing.assert_close


def rule(config, preds, gts):
    batch = InstanceBatch([preds], [gts], None)
    return TASK_UTILS.build(config)(batch)[0].mT


def test_regions_are_those_of_sim_ota():
    preds, gts = grid_image('yolox', seed=0)
    stock = SimOTAAssigner(center_radius=2.5)
    either, both = stock.get_in_gt_and_in_center_info(preds.priors, gts.bboxes)
    inside, near = rule(IN_BOX, preds, gts), rule(IN_CENTER, preds, gts)
    assert torch.equal((inside & near)[either], both)
    one = rule(
        dict(type='AnyCandidate', rules=[IN_BOX, IN_CENTER]), preds, gts
    )
    assert torch.equal(one.any(1), either)
    assert 0 < one.sum() < one.numel()


def test_regions_of_anchors_are_those_of_their_centres():
    preds, gts = grid_image('tood', seed=0)
    boxes = rule(dict(IN_BOX, priors='boxes'), preds, gts)
    near = rule(dict(IN_CENTER, priors='boxes', sides=8), preds, gts)
    low, high = preds.priors.split(2, 1)
    preds.priors = torch.cat(((low + high) / 2, (high - low) / 8), 1)
    assert torch.equal(boxes, rule(IN_BOX, preds, gts))
    assert torch.equal(near, rule(IN_CENTER, preds, gts))


def test_a_head_that_says_its_strides_needs_no_sides():
    preds, gts = grid_image('tood', seed=0)
    of_sides = rule(dict(IN_CENTER, priors='boxes', sides=8), preds, gts)
    preds.strides = (preds.priors[:, 2:] - preds.priors[:, :2]) / 8
    preds.set_metainfo(dict(prior_kind='boxes'))
    assert torch.equal(rule(IN_CENTER, preds, gts), of_sides)
    in_box = rule(dict(IN_BOX, priors='boxes'), preds, gts)
    assert torch.equal(rule(IN_BOX, preds, gts), in_box)
    assert 0 < of_sides.sum() < of_sides.numel()


@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(preset='balanced', gt_mass=5),
        dict(preset='hungarian', gt_mass=2),
        dict(preset='closest_ground_truth', background_cost=0.99),
        dict(preset='ssd_two_stage'),
        dict(preset='softmax_over_predictions'),
        dict(preset='dual_softmax'),
    ],
    ids=str,
)
@pytest.mark.parametrize('scaling', ['unit', 'image_max', 'none'])
def test_no_mass_outside_and_none_for_whom_there_is_nobody(options, scaling):
    images = [
        grid_image('yolox', seed, num_gts=2 + 3 * seed) for seed in (0, 2)
    ]
    preds, gts = zip(*images)
    assigner = UOTAssigner(
        candidates=[IN_BOX, dict(type='IoUAbove', threshold=0.1)],
        cost_scaling=scaling,
        **options,
    )
    plan = assigner.match(preds, gts)
    for image, (pred, gt) in enumerate(images):
        ious = bbox_overlaps(pred.bboxes, gt.bboxes)
        allowed = (ious > 0.1) & rule(IN_BOX, pred, gt)
        weights = plan.foreground[image, :, : len(gt)]
        assert not weights[~allowed].any()
        assert weights.isfinite().all()
        assert weights.sum() > 0
        has_some = allowed.any(0)
        assert not has_some[-1]
        asked = torch.minimum(
            torch.tensor(float(options.get('gt_mass', 1))), allowed.sum(0)
        )
        close(plan.gt_mass[image, : len(gt)] * len(pred), asked)


def test_objects_without_candidates_change_nothing_for_others():
    preds, gts = grid_image('yolox', seed=1)
    assigner = UOTAssigner(preset='balanced', candidates=IN_BOX)
    with_it = assigner.match([preds], [gts])
    without = assigner.match([preds], [gts[:-1]])
    close(with_it.weights[0, :, :-2], without.weights[0, :, :-1])
    close(with_it.background, without.background)


def test_one_matching_leaves_no_object_out_of_the_next():
    """A head may match the same ground truths several times."""
    preds, gts = grid_image('yolox', seed=1)
    assigner = UOTAssigner(preset='balanced', candidates=IN_BOX)
    shared = GroundTruths([gts], [{}], torch.device('cpu'))
    far = preds.clone()
    far.priors = preds.priors + 1e4
    assert not assigner.match([far], shared).gt_mass[0, :-1].any()
    again = assigner.match([preds], shared)
    close(again.weights, assigner.match([preds], [gts]).weights)


def test_queries_have_no_priors(draw):
    assigner = UOTAssigner(candidates=IN_BOX)
    with pytest.raises(ValueError, match='queries of a decoder are not'):
        assigner.match_layers(
            draw.rand(1, 1, 4, 5), draw.rand(1, 1, 4, 4), [draw.gts(2)], [{}]
        )


@TASK_UTILS.register_module()
class Wide:
    """A rule that is not ours: the upper half of the image."""

    def __call__(self, batch):
        is_high = batch.boxes[..., 1] < 160
        return is_high.unsqueeze(1).expand(-1, batch.shape[2] - 1, -1)


@TASK_UTILS.register_module()
class HighIoU(IoUAbove):
    """One that is made of ours."""

    def __call__(self, batch):
        return super().__call__(batch) & Wide()(batch)


@pytest.mark.parametrize('kind', ['Wide', 'HighIoU'])
@pytest.mark.parametrize('num_gts', [(3, 0), (0, 0), (2, 5)])
def test_a_rule_of_ones_own_with_and_without_objects(kind, num_gts):
    assigner = UOTAssigner(candidates=dict(type=kind), preset='balanced')
    images = [grid_image('yolox', seed) for seed in (0, 1)]
    preds = [pred for pred, _ in images]
    gts = [gt[:m] for (_, gt), m in zip(images, num_gts)]
    for _ in range(4):  # The watch looks at one image after the other.
        plan = assigner.match(preds, gts)
    low = torch.stack([pred.bboxes[:, 1] >= 160 for pred in preds])
    assert not plan.foreground[low].any()
    assert plan.foreground.any() == any(num_gts)


@pytest.mark.parametrize('option', ['InsideBox', 3, ['InsideBox']])
def test_wrong_candidates_are_named(option):
    message = re.escape("dict(type='InsideBox'), or a sequence of them, got")
    with pytest.raises(TypeError, match=message):
        UOTAssigner(candidates=option)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize(
    'candidates',
    [
        dict(IN_BOX, margin=3.0),
        dict(IN_BOX, of_any=True),
        IN_CENTER,
        [IN_BOX, dict(type='IoUAbove', threshold=0.3)],
    ],
)
def test_the_library_excludes_the_same_pairs(candidates, seed, monkeypatch):
    images = [grid_image('yolox', seed=3 * seed + i) for i in range(3)]
    preds, gts = (list(instances) for instances in zip(*images))
    gts[1] = gts[1][:0]
    gts[2].bboxes[0, 2:] = gts[2].bboxes[0, :2]
    cost = MatchingCost(candidates=candidates)

    def costs():
        batch = InstanceBatch(preds, gts, None)
        return cost(batch, [None] * 3, exact=False)

    found = costs()
    monkeypatch.setattr(exclusion, 'can_read', lambda *_: False)
    expected = costs()
    assert torch.equal(found.cost, expected.cost)
    assert torch.equal(found.num_candidates, expected.num_candidates)
    assert torch.equal(found.gt_valid, expected.gt_valid)
    assert found.cost.isinf().any()
