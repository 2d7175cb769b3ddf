"""Anchors to pairs without a matrix of costs: the same plan."""

import pytest
import torch
from benchmarking.memory import peak_memory
from helpers.boxes import random_boxes
from mmengine.structures import InstanceData

from mmdet_uot.assigners import UOTAssigner
from mmdet_uot.assigners.by_overlaps import match_overlaps
from mmdet_uot.inputs.from_instances import InstanceBatch
from mmdet_uot.native import library
from mmdet_uot.ot import SparsePlan

pytestmark = pytest.mark.skipif(
    library() is None, reason='the library is not compiled'
)

COUNTS = (5, 0, 12, 1)


def anchors(stride=16, sides=(30, 60, 120), size=320):
    center = torch.arange(stride / 2, size, stride)
    y, x = torch.meshgrid(center, center, indexing='ij')
    center = torch.stack((x, y), -1).view(-1, 1, 2)
    half = torch.tensor(sides).view(-1, 1).expand(-1, 2) / 2
    return torch.cat((center - half, center + half), -1).view(-1, 4)


def make_batch(own_boxes=False):
    """The same anchors in all images, or boxes of a model in each."""
    generator = torch.Generator().manual_seed(0)
    gts = [
        InstanceData(
            bboxes=random_boxes(m, generator, corner=200, side=(40, 110)),
            labels=torch.zeros(m, dtype=torch.int64),
        )
        for m in COUNTS
    ]
    shared = InstanceData(priors=anchors())
    preds = [shared] * len(gts)
    if own_boxes:
        preds = [
            InstanceData(
                bboxes=anchors()[3 * k :]
                + torch.rand(len(anchors()) - 3 * k, 4, generator=generator)
            )
            for k in range(len(gts))
        ]
    return InstanceBatch(preds, gts, None)


def solve(batch, assigner, ignore):
    parts = assigner.cost, assigner.mass, assigner.solver
    return match_overlaps(batch, ignore, *parts, assigner.mass.tau2 >= 1)


def solve_both(batch, **options):
    assigner = UOTAssigner(**options)
    ignore = [None] * len(batch)
    ignore[2] = InstanceData(bboxes=torch.tensor([[50.0, 60, 150, 140]]))
    costs = assigner.solve(assigner.problem(batch, ignore))
    return solve(batch, assigner, ignore), costs


@pytest.mark.parametrize('own_boxes', [False, True])
@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(tau1='inf', tau2='inf'),
        dict(tau1=1.0, tau2=0.1, background_cost=0.6),
        dict(match_costs=dict(type='OneMinusIoUCost', weight=2.0)),
        dict(gt_mass=(1, 3), tau2='inf'),
        dict(gt_mass=dict(type='DynamicMass'), tau2='inf'),
        dict(ignore_iof_thr=0.5),
        dict(ignore_band=(0.3, 0.4)),
        dict(ignore_band=(0.3, 0.4), tau2=10.0),
        dict(candidates=dict(type='IoUAbove', threshold=0.45), tau2='inf'),
        dict(
            candidates=[
                dict(type='InsideBox', margin=20.0, priors='boxes'),
                dict(type='IoUAbove', threshold=0.2),
            ],
            gt_mass=2,
            background_cost=0.7,
        ),
        dict(
            candidates=dict(type='InsideBox', margin=45.0, priors='boxes'),
            gt_mass=dict(
                type='DynamicMass',
                candidates=dict(type='InsideBox', priors='boxes'),
            ),
        ),
    ],
    ids=str,
)
def test_the_plan_of_the_costs(own_boxes, options):
    batch = make_batch(own_boxes)
    if own_boxes:  # Boxes of a model come with the anchors they are from.
        for pred in batch.preds:
            pred.priors = pred.bboxes
    plan, expected = solve_both(batch, **options)
    for name in ('weights', 'pred_mass', 'gt_mass', 'gt_potential'):
        torch.testing.assert_close(
            getattr(plan, name), getattr(expected, name), atol=1e-6, rtol=0
        )


def test_background_of_each_anchor():
    count = len(anchors())
    runs = [(0.4, count // 3), (0.55, count - count // 3)]
    plan, expected = solve_both(make_batch(), background_cost=runs)
    torch.testing.assert_close(
        plan.weights, expected.weights, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize(
    'options',
    [
        dict(match_costs=dict(type='OneMinusIoUCost', iou_mode='giou')),
        dict(match_costs=[dict(type='OneMinusIoUCost')] * 2),
        dict(match_costs=dict(type='OneMinusIoUCost', weight=0.0)),
        dict(cost_scaling='image_max'),
        dict(cost_scaling=2.0),
        dict(preset='hungarian'),
        dict(epsilon_rule='support'),
        # Boxes that do not overlap could carry mass.
        dict(background_cost=0.95),
    ],
)
def test_others_need_their_costs(options):
    assigner = UOTAssigner(**options)
    assert solve(make_batch(), assigner, [None] * 4) is None


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
@pytest.mark.parametrize('of', ['preds', 'gts'])
def test_bad_boxes_are_told_of_by_the_costs(bad, of):
    batch = make_batch()
    boxes = batch.preds[0].priors if of == 'preds' else batch.gts[0].bboxes
    boxes[0, 2] = bad
    batch = InstanceBatch(batch.preds, batch.gts, None)
    assert solve(batch, UOTAssigner(), [None] * 4) is None


def random_images(seed):
    """Ties, predictions without area, objects far from all or none at all."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 8, (3,), generator=generator).tolist()
    preds, gts = [], []
    for num_gts, num_preds in zip(counts, (63 + seed % 3, 1, 128)):
        boxes = random_boxes(num_gts + num_preds, generator, corner=60).round()
        boxes[1::5] = boxes[::5][: len(boxes[1::5])]
        own, gt = boxes[num_gts:], boxes[:num_gts]
        own[::9, 2] = own[::9, 0] - seed % 2
        gt[3:4] += 200.0 * (seed % 2)
        gts.append(InstanceData(bboxes=gt, labels=torch.arange(num_gts)))
        preds.append(InstanceData(bboxes=own, priors=own))
    return preds if seed % 4 else [preds[2]] * 3, gts


def match_both(images, **options):
    assigner = UOTAssigner(**options)
    ignore = [
        None,
        InstanceData(bboxes=torch.tensor([[9.0, 9, 60, 70]])),
        None,
    ]
    plan = assigner.match(*images, batch_gt_instances_ignore=ignore)
    batch = InstanceBatch(*images, None)
    return plan, assigner.solve(assigner.problem(batch, ignore))


CLOSEST = [
    dict(preset='closest_ground_truth'),
    dict(tau1='inf', tau2=0, epsilon=0),
    dict(preset='ssd_two_stage'),
]


@pytest.mark.parametrize('matcher', CLOSEST, ids=str)
@pytest.mark.parametrize(
    'options',
    [
        dict(background_cost=-0.1),
        dict(background_cost=0.3),
        dict(background_cost=0.9),
        dict(match_costs=dict(type='OneMinusIoUCost', weight=3.0)),
        dict(gt_mass=3),
        dict(ignore_iof_thr=0.5),
        dict(ignore_band=(0.3, 0.6)),
        dict(candidates=dict(type='IoUAbove', threshold=0.2)),
        dict(candidates=dict(type='InsideBox', priors='boxes')),
    ],
    ids=str,
)
def test_exact_plans_are_those_of_the_costs(matcher, options):
    for seed in range(12):
        images = random_images(seed)
        plan, expected = match_both(images, **matcher, **options)
        assert isinstance(plan, SparsePlan)
        for name in ('weights', 'pred_mass', 'gt_mass'):
            assert torch.equal(getattr(plan, name), getattr(expected, name))
        assert all(map(torch.equal, plan.pairs(), expected.pairs()))


@pytest.mark.parametrize('matcher', CLOSEST, ids=str)
def test_exact_plans_with_a_background_of_each_prediction(matcher):
    preds, gts = random_images(4)
    generator = torch.Generator().manual_seed(0)
    background = torch.rand(len(preds[0]), generator=generator).tolist()
    plan, expected = match_both(
        (preds, gts), **matcher, background_cost=background
    )
    assert isinstance(plan, SparsePlan)
    assert torch.equal(plan.weights, expected.weights)


@pytest.mark.parametrize(
    'options',
    [
        # Boxes that do not overlap are as close as the background.
        dict(background_cost=1.0),
        dict(background_cost=[0.5] * 127 + [1.0]),
        dict(cost_scaling=2.0),
        dict(match_costs=dict(type='OneMinusIoUCost', iou_mode='giou')),
        dict(gt_mass=2.5),
    ],
    ids=str,
)
def test_exact_plans_that_need_their_costs(options):
    plan, expected = match_both(random_images(4), **CLOSEST[0], **options)
    assert not isinstance(plan, SparsePlan)
    assert torch.equal(plan.weights, expected.weights)


@pytest.mark.parametrize('matcher', CLOSEST, ids=str)
def test_exact_plans_make_no_matrix(matcher):
    generator = torch.Generator().manual_seed(0)
    boxes = random_boxes(200, generator, corner=200)
    gts = InstanceData(bboxes=boxes, labels=torch.arange(200))
    preds = InstanceData(priors=anchors())
    assigner = UOTAssigner(**matcher)

    def call():
        batch = InstanceBatch([preds] * 4, [gts] * 4, None)
        return solve(batch, assigner, [None] * 4)

    matrix = 4 * 4 * 200 * len(preds)
    assert len(call().matched.image) > 0
    assert peak_memory(call, torch.device('cpu')) < matrix / 10
