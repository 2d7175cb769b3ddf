import pytest
import torch
from helpers.boxes import random_boxes
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

from mmdet_uot.assigners import PRESETS, UOTAssigner

IOU = [dict(type='OneMinusIoUCost')]


@pytest.fixture(params=range(4))
def image(request):
    """Anchors, ground truths and predictions of a random image."""
    generator = torch.Generator().manual_seed(request.param)
    labels = torch.randint(0, 5, (12,), generator=generator)
    gts = InstanceData(bboxes=random_boxes(12, generator), labels=labels)
    preds = InstanceData(
        bboxes=random_boxes(80, generator),
        priors=random_boxes(80, generator),
        scores=torch.randn(80, 6, generator=generator),
    )
    return preds, gts, dict(img_shape=(200, 220))


def test_ssd_two_stage_is_mmdets_max_iou_assigner(image):
    preds, gts, _ = image
    anchors = InstanceData(priors=preds.priors)
    stock = TASK_UTILS.build(
        dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            gt_max_assign_all=False,
        )
    ).assign(anchors, gts)
    ours = UOTAssigner(preset='ssd_two_stage').assign(anchors, gts)
    assert torch.equal(ours.gt_inds, stock.gt_inds)
    assert torch.equal(ours.labels, stock.labels)
    torch.testing.assert_close(ours.max_overlaps, stock.max_overlaps)


def test_closest_ground_truth_is_max_iou_without_low_quality(image):
    preds, gts, _ = image
    anchors = InstanceData(priors=preds.priors)
    stock = TASK_UTILS.build(
        dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            match_low_quality=False,
        )
    ).assign(anchors, gts)
    ours = UOTAssigner(preset='closest_ground_truth').assign(anchors, gts)
    assert torch.equal(ours.gt_inds, stock.gt_inds)


def test_hungarian_is_mmdets_hungarian_assigner(image):
    costs = [
        dict(type='ClassificationCost', weight=2.0),
        dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
        dict(type='IoUCost', iou_mode='giou', weight=2.0),
    ]
    preds, gts, meta = image
    stock = TASK_UTILS.build(
        dict(type='HungarianAssigner', match_costs=costs)
    ).assign(preds, gts, img_meta=meta)
    ours = UOTAssigner(preset='hungarian', match_costs=costs)
    result = ours.assign(preds, gts, img_meta=meta)
    assert torch.equal(result.gt_inds, stock.gt_inds)
    assert torch.equal(result.labels, stock.labels)


def test_closest_prediction_takes_the_nearest_of_each(image):
    preds, gts, _ = image
    assigner = UOTAssigner(preset='closest_prediction', match_costs=IOU)
    plan = assigner.match([preds], [gts])
    nearest = TASK_UTILS.build(IOU[0])(preds, gts).argmin(0)
    assert torch.equal(plan.foreground[0].argmax(0), nearest)
    torch.testing.assert_close(plan.gt_marginal[0, :-1], torch.ones(12))


def softmax_reference(image, dim):
    preds, gts, _ = image
    cost = TASK_UTILS.build(IOU[0])(preds, gts).double()
    cost = torch.cat([cost, cost.new_full((80, 1), 0.5)], 1)
    return (-cost / 0.1).softmax(dim)


def test_softmax_over_ground_truths(image):
    assigner = UOTAssigner(
        preset='softmax_over_ground_truths', epsilon=0.1, cost_scaling='none'
    )
    weights = assigner.match([image[0]], [image[1]]).weights[0].double()
    expected = softmax_reference(image, 1)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)


def test_softmax_over_predictions(image):
    assigner = UOTAssigner(
        preset='softmax_over_predictions', epsilon=0.1, cost_scaling='none'
    )
    weights = assigner.match([image[0]], [image[1]]).weights[0].double()
    expected = softmax_reference(image, 0)
    expected[:, -1] *= 80 - 12
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)


def test_dual_softmax_is_one_half_step_from_each_dual(image):
    assigner = UOTAssigner(
        preset='dual_softmax', epsilon=0.1, cost_scaling='none'
    )
    weights = assigner.match([image[0]], [image[1]]).weights[0].double()
    rows, columns = softmax_reference(image, 1), softmax_reference(image, 0)
    preds, gts, _ = image
    cost = TASK_UTILS.build(IOU[0])(preds, gts).double()
    cost = torch.cat([cost, cost.new_full((80, 1), 0.5)], 1)
    # Eq. (28), with the constant (n + 1) / N of Alg. 1's initial duals.
    expected = rows * columns * (cost / 0.1).exp() * (12 + 1)
    expected[:, -1] *= 80 - 12
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)


def test_balanced_is_the_sinkhorn_assigner(image):
    preds, gts, _ = image
    sinkhorn = TASK_UTILS.build(
        dict(type='SinkhornAssigner', match_costs=IOU, background_cost=0.5)
    )
    balanced = UOTAssigner(preset='balanced', match_costs=IOU)
    torch.testing.assert_close(
        balanced.match([preds], [gts]).weights,
        sinkhorn.match([preds], [gts]).weights,
    )


@pytest.mark.parametrize('preset', PRESETS)
def test_every_preset_handles_images_without_objects(preset, image):
    preds = image[0]
    empty = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
    )
    result = UOTAssigner(preset=preset).assign(preds, empty)
    assert (result.gt_inds == 0).all()


@pytest.mark.parametrize(
    'options, fragment',
    [
        (dict(preset='hungary'), "preset must be one of .*'hungary'"),
        (dict(preset='balanced', tau1=1.0), 'preset=.* fixes tau1'),
        (dict(preset='hungarian', epsilon=0.1), 'preset=.* fixes epsilon'),
        (dict(preset='dual_softmax', epsilon=0), 'needs a positive epsilon'),
    ],
)
def test_a_preset_that_contradicts_is_an_error(options, fragment):
    with pytest.raises(ValueError, match=fragment):
        UOTAssigner(**options)
