"""MaskFormer's heads: mmdet's losses, and sums over the pairs of a plan."""

from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.structures import InstanceData

import mmdet_uot.heads  # noqa: F401
from mmdet_uot.ot import TransportPlan

STOCK = Path(mmdet.__file__).parent / '.mim' / 'configs'
CONFIGS = {
    'MaskFormerHead': 'maskformer/maskformer_r50_ms-16xb1-75e_coco',
    'Mask2FormerHead': 'mask2former/mask2former_r50_8xb2-lsj-50e_coco',
}
LAYERS, QUERIES, SIZE = 2, 12, 64


def build(name, **options):
    model = Config.fromfile(STOCK / f'{CONFIGS[name]}.py').model
    train_cfg = model.train_cfg
    train_cfg.update(num_points=50, **options.pop('train_cfg', {}))
    head = model.panoptic_head
    head.update(num_queries=QUERIES, **options)
    head.update(train_cfg=train_cfg, test_cfg=model.test_cfg)
    return MODELS.build(head)


def batch(head, counts, seed=0):
    """Logits that take a gradient, and ground truths with masks."""
    torch.manual_seed(seed)
    B = len(counts)
    scores = torch.randn(LAYERS, B, QUERIES, head.num_classes + 1)
    masks = torch.randn(LAYERS, B, QUERIES, SIZE // 4, SIZE // 4)
    gts = [
        InstanceData(
            labels=torch.randint(0, head.num_classes, (count,)),
            masks=(torch.rand(count, SIZE, SIZE) > 0.7).long(),
        )
        for count in counts
    ]
    return scores.requires_grad_(), masks.requires_grad_(), gts


def losses(head, given):
    """The loss dict, and the gradients of its sum."""
    scores, masks, gts = given
    torch.manual_seed(1)
    found = head.loss_by_feat(scores, masks, gts, [{}] * len(gts))
    total = sum(value.sum() for value in found.values())
    return found, torch.autograd.grad(total, (scores, masks))


@pytest.mark.parametrize('counts', [(3, 0, 5), (0, 0), (12, 1)])
@pytest.mark.parametrize('name', CONFIGS)
def test_with_the_stock_assigner_it_is_the_stock_head(name, counts):
    stock, ours = build(name), build(name, type=f'UOT{name}')
    given = batch(stock, counts)
    (wanted, grads), (found, own_grads) = (
        losses(head, given) for head in (stock, ours)
    )
    assert found.keys() == wanted.keys()
    for key in wanted:
        # Some of the stock head are of shape (1,).
        torch.testing.assert_close(
            found[key], wanted[key].sum(), rtol=1e-5, atol=1e-6
        )
    torch.testing.assert_close(own_grads, grads, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('name', CONFIGS)
def test_a_plan_trains_every_image_with_objects(name):
    assigner = dict(
        type='SinkhornAssigner',
        match_costs=dict(type='OneMinusProbCost', weight=1.0),
    )
    head = build(
        name, type=f'UOT{name}', train_cfg=dict(assigner=assigner), max_preds=4
    )
    found, (scores, masks) = losses(head, batch(head, (3, 0, 5)))
    assert all(value.isfinite() for value in found.values())
    assert (scores.abs().sum((0, 2, 3)) > 0).all()
    learnt = masks.abs().sum((0, 2, 3, 4)) > 0
    assert learnt.tolist() == [True, False, True]


@pytest.mark.parametrize('share', [0.0, 0.3, 1.0])
def test_losses_of_a_mixture_are_the_mixture_of_losses(share, monkeypatch):
    """N P of two matchings, mixed: class, mask and dice loss are sums."""
    head = build('MaskFormerHead', type='UOTMaskFormerHead')
    given = batch(head, (3, 2))
    first = torch.full((2, QUERIES), -1)
    first[0, :3], first[1, :2] = torch.arange(3), torch.arange(2)
    plans = [
        TransportPlan.from_indices(indices, 3)
        for indices in (first, first.roll(5, 1))
    ]
    weights = share * plans[0].weights + (1 - share) * plans[1].weights
    plans.append(TransportPlan(weights, plans[0].pred_mass, plans[0].gt_mass))
    found = []
    for plan in plans:
        monkeypatch.setattr(
            head.assigner, 'match', lambda *_, p=plan: p, False
        )
        found.append(losses(head, given)[0])
    for key, value in found[2].items():
        mixed = share * found[0][key] + (1 - share) * found[1][key]
        torch.testing.assert_close(value, mixed, rtol=1e-5, atol=1e-6)


def test_a_label_that_is_no_class_is_refused():
    head = build('MaskFormerHead', type='UOTMaskFormerHead')
    scores, masks, gts = batch(head, (3, 0))
    gts[0].labels[1] = head.num_classes
    with pytest.raises(ValueError, match=r'labels must be in \[0, 133\)'):
        losses(head, (scores, masks, gts))


def test_a_class_loss_that_takes_no_plan_is_refused():
    loss = dict(
        type='CrossEntropyLoss', use_sigmoid=True, class_weight=[1.0] * 134
    )
    with pytest.raises(TypeError, match='loss_cls CrossEntropyLoss cannot'):
        build('MaskFormerHead', type='UOTMaskFormerHead', loss_cls=loss)


@pytest.mark.parametrize('name', ('MaskFormerHead', 'Mask2FormerHead'))
def test_a_ground_truth_learns_from_one_prediction_at_least(name):
    with pytest.raises(ValueError, match='max_preds must be at least 1'):
        build(name, type=f'UOT{name}', max_preds=0)
