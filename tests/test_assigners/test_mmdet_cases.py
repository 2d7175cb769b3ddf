"""MMDetection's own cases for its assigners, with ours put in."""

import pytest
import torch
from mmengine.structures import InstanceData

from mmdet_uot.assigners import SinkhornAssigner, UOTAssigner

PRIORS = [[0, 0, 10, 10], [10, 10, 20, 20], [5, 5, 15, 15], [32, 32, 38, 42]]
GTS = [[0, 0, 10, 9], [0, 10, 10, 19]]


def two_stage(**options):
    """MaxIoUAssigner(pos_iou_thr=0.5, neg_iou_thr=0.5) in our terms."""
    return UOTAssigner(preset='ssd_two_stage', **options)


def closest(**options):
    return UOTAssigner(preset='closest_ground_truth', **options)


def one_to_one(**options):
    return SinkhornAssigner(
        match_costs=dict(type='OneMinusIoUCost'), epsilon=0, **options
    )


def instances(boxes, labels=None):
    boxes = torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
    if labels is None:
        return InstanceData(priors=boxes)
    return InstanceData(bboxes=boxes, labels=torch.tensor(labels).long())


MAX_IOU = [two_stage, closest, one_to_one]


@pytest.mark.parametrize(
    ('build', 'expected'),
    [
        (two_stage, [1, 0, 2, 0]),
        (closest, [1, 0, 0, 0]),
        (one_to_one, [1, 0, 2, 0]),
    ],
)
def test_max_iou_assigner(build, expected):
    result = build().assign(instances(PRIORS), instances(GTS, [2, 3]))
    assert result.gt_inds.tolist() == expected
    assert result.num_gts == 2
    assert len(result.gt_inds) == len(result.labels) == 4


@pytest.mark.parametrize(
    ('build', 'expected'),
    [
        (two_stage, [1, 0, 2, -1]),
        (closest, [1, 0, 0, -1]),
        (one_to_one, [1, 0, 2, -1]),
    ],
)
def test_max_iou_assigner_with_ignore(build, expected):
    assigner = build(ignore_iof_thr=0.5, ignore_wrt_candidates=False)
    priors = [*PRIORS[:3], [30, 32, 40, 42]]
    ignore = InstanceData(bboxes=torch.tensor([[30.0, 30.0, 40.0, 40.0]]))
    result = assigner.assign(
        instances(priors), instances(GTS, [2, 3]), gt_instances_ignore=ignore
    )
    assert result.gt_inds.tolist() == expected


@pytest.mark.parametrize('build', [*MAX_IOU, UOTAssigner])
@pytest.mark.parametrize('dtype', [torch.int64, torch.float32], ids=str)
def test_max_iou_assigner_with_empty_gt(build, dtype):
    gts = InstanceData(
        bboxes=torch.empty(0, 4), labels=torch.empty(0, dtype=dtype)
    )
    result = build().assign(instances(PRIORS), gts)
    assert result.gt_inds.tolist() == [0, 0, 0, 0]
    assert result.labels.tolist() == [-1, -1, -1, -1]


@pytest.mark.parametrize('build', [*MAX_IOU, UOTAssigner])
@pytest.mark.parametrize('ignored', [None, [], GTS])
@pytest.mark.parametrize('gts', [[], GTS])
def test_max_iou_assigner_with_empty_priors(gts, ignored, build):
    assigner = build(ignore_iof_thr=0.5)
    ignore = (
        None if ignored is None else instances(ignored, [0] * len(ignored))
    )
    result = assigner.assign(
        instances([]),
        instances(gts, [2, 3][: len(gts)]),
        gt_instances_ignore=ignore,
    )
    assert result.num_gts == len(gts)
    assert tuple(result.gt_inds.shape) == (0,)
    assert tuple(result.labels.shape) == (0,)


CLASS_COST = dict(type='ClassificationCost', weight=1.0)
FOCAL_COST = dict(type='FocalLossCost', weight=1.0)
XYXY = dict(type='BBoxL1Cost', weight=5.0)
CENTRE = dict(type='BBoxL1Cost', weight=5.0, box_format='xywh')
GIOU = dict(type='IoUCost', iou_mode='giou', weight=2.0)
IOU = dict(type='IoUCost', iou_mode='iou', weight=2.0)


@pytest.mark.parametrize('epsilon', [0, None])
@pytest.mark.parametrize(
    'match_costs',
    [
        [XYXY, CLASS_COST, GIOU],
        [XYXY, CLASS_COST, IOU],
        [XYXY, FOCAL_COST, GIOU],
        [CENTRE, FOCAL_COST, GIOU],
        [XYXY],
        GIOU,
    ],
    ids=str,
)
def test_hungarian_assigner(match_costs, epsilon):
    generator = torch.Generator().manual_seed(1)
    assigner = SinkhornAssigner(match_costs=match_costs, epsilon=epsilon)
    meta = dict(img_shape=(10, 8))
    pred = InstanceData(
        scores=torch.rand((10, 81), generator=generator),
        bboxes=torch.rand((10, 4), generator=generator),
    )
    # No ground truths: all background.
    result = assigner.assign(pred, instances([], []), img_meta=meta)
    assert (result.gt_inds == 0).all()
    assert (result.labels == -1).all()

    gts = InstanceData(
        bboxes=torch.tensor([[0.0, 0.0, 5.0, 7.0], [3.0, 5.0, 7.0, 8.0]]),
        labels=torch.tensor([1, 20]),
    )
    result = assigner.assign(pred, gts, img_meta=meta)
    assert (result.gt_inds > -1).all()
    assert (result.gt_inds > 0).sum() == 2
    assert (result.labels > -1).sum() == 2


def test_hungarian_assigner_needs_a_cost():
    with pytest.raises(ValueError, match='at least one cost'):
        SinkhornAssigner(match_costs=[])
