"""Which pairs have a box loss: few, and no ground truth is lost."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmdet_uot._config_scope import config_folder
from mmdet_uot.assigners import match_batch
from mmdet_uot.losses import box_pairs, heaviest_pairs
from mmdet_uot.ot import TransportPlan

pytestmark = pytest.mark.slow

SSD_SHAPES = [(38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1)]


def received(pairs, plan):
    """(B, M) mass of the pairs of each ground truth."""
    B, _, columns = plan.weights.shape
    mass = torch.zeros(B, columns - 1, dtype=torch.float64)
    return mass.index_put_(
        (pairs.image, pairs.ground_truth),
        pairs.mass.double(),
        accumulate=True,
    )


@pytest.mark.parametrize('min_mass', [0.0, 0.01, 0.5, 0.99])
def test_pairs_have_the_mass_of_their_ground_truths(min_mass, matched):
    plan = matched('soft').plan
    pairs = box_pairs(plan, min_mass)
    mass = plan.foreground.sum(1)
    torch.testing.assert_close(received(pairs, plan), mass)
    mean = mass.clamp(min=1) / 40
    weight = plan.weights[pairs.image, pairs.prediction, pairs.ground_truth]
    assert (weight > min_mass * mean[pairs.image, pairs.ground_truth]).all()
    # What was left out is made up for by all in equal shares.
    factor = pairs.mass / weight
    assert (factor >= 1 - 1e-12).all()
    assert (factor < 1 / (1 - min_mass) + 1e-12).all()


@pytest.mark.parametrize('most', [1, 3, 1000])
def test_the_heaviest_have_all_mass_in_their_proportions(most, matched):
    plan = matched('soft').plan
    pairs = heaviest_pairs(plan, most)
    torch.testing.assert_close(received(pairs, plan), plan.foreground.sum(1))
    weights = plan.foreground.mT
    for image, gt in pairs.ground_truth.new_tensor(
        [*{*zip(pairs.image.tolist(), pairs.ground_truth.tolist())}]
    ):
        own = (pairs.image == image) & (pairs.ground_truth == gt)
        kept = weights[image, gt].sort(descending=True).values[:most]
        kept = kept[(kept > 0) & (kept >= 0.01 * kept[0])]
        torch.testing.assert_close(
            pairs.mass[own].sort(descending=True).values,
            kept / kept.sum() * weights[image, gt].sum(),
        )


def test_less_than_one_pair_is_refused(matched):
    with pytest.raises(ValueError, match='at least 1, got 0'):
        heaviest_pairs(matched('soft').plan, 0)


@pytest.mark.parametrize('kind', ['hard', 'ignored'])
def test_pairs_of_a_hard_plan_are_all_of_its_pairs(kind, matched):
    plan = matched(kind).plan
    for ours, all_of_them in zip(box_pairs(plan, 0.5), plan.pairs()):
        assert ours.equal(all_of_them)


def test_thousands_of_sure_pairs_are_kept():
    plan = TransportPlan.from_indices(torch.arange(6000)[None] % 3 - 1, 2)
    for ours, all_of_them in zip(box_pairs(plan, 0.01), plan.pairs()):
        assert ours.equal(all_of_them)


@pytest.mark.parametrize('mass', [0.009, 1e-9])
def test_next_to_no_mass_needs_no_pairs(mass):
    weights = torch.zeros(1, 500, 2)
    weights[..., 0] = mass / 500
    plan = TransportPlan(weights, torch.ones(1, 500) / 500, weights.sum(1))
    assert len(box_pairs(plan, 0.01).mass) == 0


@pytest.mark.parametrize('min_mass', [-0.1, 1, 2.0])
def test_the_share_has_a_range(min_mass, matched):
    with pytest.raises(ValueError, match=r'min_mass must be in \[0, 1\)'):
        box_pairs(matched('soft').plan, min_mass)


@pytest.fixture(scope='module')
def ssd300():
    """Head and anchors of SSD300, balanced."""
    model = Config.fromfile(config_folder() / 'ssd300_ot.py').model
    head = MODELS.build(
        dict(model.bbox_head, train_cfg=model.train_cfg, test_cfg=None)
    )
    return head, head.grid_anchors.anchors(SSD_SHAPES, torch.device('cpu'))


def box_losses(head, anchors, boxes, min_mass):
    """Smooth L1 of each box with deltas of zero, and the number of pairs."""
    gts = [
        InstanceData(bboxes=box[None], labels=torch.zeros(1).long())
        for box in boxes
    ]
    preds = [InstanceData(priors=anchors)] * len(gts)
    metas = [dict(img_shape=(300, 300))] * len(gts)
    plan = match_batch(head.assigner, preds, gts, metas)
    pairs = box_pairs(plan, min_mass)
    torch.testing.assert_close(
        received(pairs, plan), plan.foreground.sum(1).double()
    )
    target = head.bbox_coder.encode(
        anchors[pairs.prediction], boxes[pairs.image]
    )
    loss = torch.nn.functional.smooth_l1_loss(
        target, torch.zeros_like(target), reduction='none'
    )
    loss = (pairs.mass * loss.sum(1)).double()
    total = loss.new_zeros(len(boxes)).index_add_(0, pairs.image, loss)
    return total, pairs.image.bincount(minlength=len(boxes))


@pytest.mark.parametrize('side', [3, 4, 5, 6, 12, 40])
def test_small_objects_keep_their_box_loss(side, ssd300):
    generator = torch.Generator().manual_seed(side)
    corner = (300 - side) * torch.rand(4, 2, generator=generator)
    boxes = torch.cat((corner, corner + side), 1)
    exact, _ = box_losses(*ssd300, boxes, 0.0)
    loss, count = box_losses(*ssd300, boxes, 0.01)
    torch.testing.assert_close(loss, exact, rtol=0.05, atol=0)
    assert (count < 1200).all()
    if side >= 12:
        assert (count < 100).all()


@pytest.mark.parametrize('queries', [100, 900])
def test_a_decoder_at_its_start_keeps_its_box_loss(queries):
    """All queries say nearly the same, so that the mass is spread."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(2, queries, 5, generator=generator) + 0.5
    weights[..., :-1] /= weights[..., :-1].sum(1, keepdim=True)
    weights[..., -1] = 1 - weights[..., :-1].sum(2)
    plan = TransportPlan(
        weights, weights.sum(2) / queries, weights.sum(1) / queries
    )
    pairs = box_pairs(plan, 0.01)
    assert len(pairs.mass) == 2 * queries * 4
    torch.testing.assert_close(
        received(pairs, plan), torch.ones(2, 4).double()
    )
