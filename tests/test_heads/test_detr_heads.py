import copy

import pytest
import torch
from helpers.boxes import random_boxes
from mmdet.models.task_modules.assigners import HungarianAssigner
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from mmengine.structures import InstanceData

from mmdet_uot.heads import UOTDeformableDETRHead, UOTDETRHead, UOTDINOHead

NUM_CLASSES = 20
LAYERS, QUERIES, PROPOSALS = 6, 40, 70
CROSS_ENTROPY = dict(
    type='CrossEntropyLoss',
    bg_cls_weight=0.1,
    use_sigmoid=False,
    loss_weight=1.0,
    class_weight=1.0,
)
FOCAL = dict(
    type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0
)
BOX_COSTS = [
    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
    dict(type='IoUCost', iou_mode='giou', weight=2.0),
]
SOFTMAX_COSTS = [dict(type='ClassificationCost'), *BOX_COSTS]
FOCAL_COSTS = [dict(type='FocalLossCost', weight=2.0), *BOX_COSTS]
TWO_STAGE = dict(as_two_stage=True, num_pred_layer=LAYERS + 1)
HEADS = {
    'DETRHead': dict(loss_cls=CROSS_ENTROPY),
    'ConditionalDETRHead': dict(loss_cls=FOCAL),
    'DABDETRHead': dict(loss_cls=FOCAL),
    'DeformableDETRHead': dict(loss_cls=FOCAL, **TWO_STAGE),
    'DINOHead': dict(loss_cls=FOCAL, **TWO_STAGE),
}


def build(name, assigner, **options):
    config = dict(
        type=name,
        num_classes=NUM_CLASSES,
        train_cfg=dict(assigner=assigner),
        **HEADS[name.replace('UOT', '')],
    )
    return MODELS.build({**copy.deepcopy(config), **options})


def hungarian(name):
    costs = SOFTMAX_COSTS if name == 'DETRHead' else FOCAL_COSTS
    return dict(type='HungarianAssigner', match_costs=costs)


def ground_truths(counts, seed=0):
    generator = torch.Generator().manual_seed(seed)
    instances = []
    for count in counts:
        instances.append(
            InstanceData(
                bboxes=random_boxes(
                    count, generator, corner=200, side=(10, 100)
                ),
                labels=torch.randint(
                    0, NUM_CLASSES, (count,), generator=generator
                ),
            )
        )
    return instances


def losses(head, counts, seed=0):
    """The loss dict and its gradients on random outputs of a decoder."""
    generator = torch.Generator().manual_seed(seed)
    B, C = len(counts), head.cls_out_channels
    scores = torch.randn(LAYERS, B, QUERIES, C, generator=generator)
    boxes = torch.rand(LAYERS, B, QUERIES, 4, generator=generator) / 2 + 0.2
    inputs = [scores, boxes]
    if hasattr(head, 'as_two_stage'):
        inputs.append(torch.randn(B, PROPOSALS, C, generator=generator))
        inputs.append(torch.rand(B, PROPOSALS, 4, generator=generator) / 2)
    for tensor in inputs:
        tensor.requires_grad_()
    metas = [dict(img_shape=(300 + 20 * b, 400 - 30 * b)) for b in range(B)]
    arguments = [*inputs, ground_truths(counts, seed), metas]
    if isinstance(head, MODELS.get('DINOHead')):
        head.split_outputs = lambda scores, boxes, meta: (
            scores,
            boxes,
            None,
            None,
        )
        arguments.append(dict(num_denoising_queries=0))
    result = head.loss_by_feat(*arguments)
    sum(result.values()).backward()
    return result, [tensor.grad for tensor in inputs]


@pytest.mark.parametrize('counts', [(0, 1, 12), (0, 0), (30, 45, 7), (5,)])
@pytest.mark.parametrize('name', HEADS)
def test_a_hungarian_plan_gives_the_losses_of_the_stock_head(name, counts):
    stock, stock_grads = losses(build(name, hungarian(name)), counts)
    ours, our_grads = losses(build('UOT' + name, hungarian(name)), counts)
    assert list(ours) == list(stock)
    for key, value in stock.items():
        torch.testing.assert_close(ours[key], value, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(our_grads, stock_grads, rtol=1e-4, atol=1e-6)


class IgnoringAssigner(HungarianAssigner):
    """Ignores every third prediction that is background."""

    def assign(self, *args, **kwargs):
        result = super().assign(*args, **kwargs)
        third = torch.arange(len(result.gt_inds)) % 3 == 0
        result.gt_inds[third & (result.gt_inds == 0)] = -1
        return result


@pytest.mark.parametrize('name', HEADS)
def test_what_a_stock_assigner_ignores_is_as_in_the_stock_head(name):
    assigner = dict(hungarian(name), type=IgnoringAssigner)
    stock, stock_grads = losses(build(name, assigner), (0, 1, 12))
    ours, our_grads = losses(build('UOT' + name, assigner), (0, 1, 12))
    torch.testing.assert_close(ours, stock, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(our_grads, stock_grads, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('name', HEADS)
def test_our_exact_matcher_gives_the_same_losses(name):
    costs = hungarian(name)['match_costs']
    exact = dict(type='SinkhornAssigner', match_costs=costs, epsilon=0)
    stock, _ = losses(build(name, hungarian(name)), (4, 11))
    ours, _ = losses(build('UOT' + name, exact), (4, 11))
    for key, value in stock.items():
        torch.testing.assert_close(ours[key], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('name', ['DETRHead', 'DeformableDETRHead'])
def test_the_losses_are_the_weighted_sums_over_pairs(name):
    """Every pair, background included, through the stock loss modules."""
    costs = hungarian(name)['match_costs']
    soft = dict(type='SinkhornAssigner', match_costs=costs, epsilon0=2.0)
    head = build('UOT' + name, soft, min_mass=0.0)
    gts, size = ground_truths((6,))[0], torch.tensor([320.0, 240, 320, 240])
    torch.manual_seed(0)
    scores = torch.randn(1, 25, head.cls_out_channels)
    boxes = torch.rand(1, 25, 4) / 2 + 0.2
    meta = dict(img_shape=(240, 320))
    absolute = bbox_cxcywh_to_xyxy(boxes) * size
    weights = head.assigner.match_layers(
        scores[None], absolute[None], [gts], [meta]
    ).weights[0]
    assert ((weights > 0.05) & (weights < 0.95)).sum() > 20

    prediction, column = torch.meshgrid(
        torch.arange(25), torch.arange(7), indexing='ij'
    )
    prediction, column, weight = (
        x.flatten() for x in (prediction, column, weights)
    )
    labels = torch.cat([gts.labels, torch.tensor([NUM_CLASSES])])
    foreground, background = weights[:, :-1].sum(), weights[:, -1].sum()
    expected_cls = head.loss_cls(
        scores[0, prediction],
        labels[column],
        weight,
        avg_factor=(foreground + head.bg_cls_weight * background).item(),
    )
    box = column < 6
    target, average = gts.bboxes[column[box]], foreground.item()
    weight4 = weight[box, None].expand(-1, 4)
    expected_iou = head.loss_iou(
        absolute[0, prediction[box]], target, weight4, avg_factor=average
    )
    expected_bbox = head.loss_bbox(
        boxes[0, prediction[box]],
        bbox_xyxy_to_cxcywh(target / size),
        weight4,
        avg_factor=average,
    )
    torch.testing.assert_close(
        head.loss_by_feat_single(scores, boxes, [gts], [meta]),
        (expected_cls, expected_bbox, expected_iou),
        rtol=1e-4,
        atol=1e-6,
    )


def test_which_class_computes_the_losses():
    for cls in (UOTDeformableDETRHead, UOTDINOHead):
        assert cls.loss_by_feat_single is UOTDETRHead.loss_by_feat_single

    class Wrong(UOTDETRHead, MODELS.get('DeformableDETRHead')):
        pass

    assert Wrong.loss_by_feat is UOTDETRHead.loss_by_feat


def test_a_head_with_losses_of_its_own_is_refused():
    class Own(UOTDETRHead):
        def loss_by_feat_single(self, *args):
            return None

    with pytest.raises(TypeError, match='Own.*not supported'):
        Own(num_classes=3, train_cfg=dict(assigner=hungarian('DETRHead')))


@pytest.mark.parametrize('use_sigmoid', [False, True])
def test_matching_and_loss_read_the_scores_alike(use_sigmoid):
    loss = dict(
        type='FocalLoss' if not use_sigmoid else 'CrossEntropyLoss',
        use_sigmoid=not use_sigmoid,
    )
    cost = dict(type='OneMinusProbCost', use_sigmoid=use_sigmoid)
    assigner = dict(type='SinkhornAssigner', match_costs=cost)
    with pytest.raises(ValueError, match=f'use_sigmoid={use_sigmoid}'):
        UOTDETRHead(3, loss_cls=loss, train_cfg=dict(assigner=assigner))


@pytest.mark.parametrize(
    'loss_cls',
    [
        dict(type='QualityFocalLoss', use_sigmoid=True),
        dict(type='CrossEntropyLoss', use_sigmoid=True),
        dict(type='FocalLoss', use_sigmoid=True, activated=True),
    ],
)
def test_a_loss_that_cannot_be_weighted_is_refused_by_name(loss_cls):
    with pytest.raises(TypeError, match=loss_cls['type']):
        build('UOTDeformableDETRHead', hungarian('x'), loss_cls=loss_cls)


def test_the_callers_config_is_left_alone():
    config = copy.deepcopy(CROSS_ENTROPY)
    build('UOTDETRHead', hungarian('DETRHead'), loss_cls=config)
    assert config == CROSS_ENTROPY


def test_one_solve_serves_all_layers_and_images(monkeypatch):
    soft = dict(type='SinkhornAssigner', match_costs=SOFTMAX_COSTS)
    head = build('UOTDETRHead', soft)
    batches = []
    match = head.assigner._match
    monkeypatch.setattr(
        head.assigner,
        '_match',
        lambda batch: batches.append(len(batch.scores)) or match(batch),
    )
    losses(head, (2, 3, 0))
    assert batches == [LAYERS * 3]


def test_layers_do_not_mix():
    soft = dict(type='SinkhornAssigner', match_costs=SOFTMAX_COSTS)
    head = build('UOTDETRHead', soft)
    torch.manual_seed(0)
    scores, boxes = torch.randn(3, 2, 30, 21), torch.rand(3, 2, 30, 4) + 0.1
    gts, metas = ground_truths((4, 0)), [dict(img_shape=(300, 300))] * 2
    together = head.loss_by_feat(scores, boxes, gts, metas)
    for layer, prefix in enumerate(('d0.', 'd1.', '')):
        alone = head.loss_by_feat_single(
            scores[layer], boxes[layer], gts, metas
        )
        for name, value in zip(('loss_cls', 'loss_bbox', 'loss_iou'), alone):
            torch.testing.assert_close(together[prefix + name], value)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('name', ['DETRHead', 'ConditionalDETRHead'])
def test_half_precision_outputs_have_float32_losses(name, dtype):
    """In an image of 1,333 pixels, where half precision rounds to pixels."""
    costs = hungarian(name)['match_costs']
    soft = dict(type='SinkhornAssigner', match_costs=costs)
    head = build('UOT' + name, soft)
    torch.manual_seed(0)
    scores = torch.randn(2, 2, 30, head.cls_out_channels).to(dtype)
    boxes = (torch.rand(2, 2, 30, 4) / 8 + 0.1).to(dtype)
    gts, metas = ground_truths((9, 4)), [dict(img_shape=(800, 1333))] * 2
    half = head.loss_by_feat(scores, boxes, gts, metas)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        cast = head.loss_by_feat(scores.float(), boxes.float(), gts, metas)
    full = head.loss_by_feat(scores.float(), boxes.float(), gts, metas)
    for key, value in full.items():
        assert half[key].dtype == cast[key].dtype == torch.float32
        torch.testing.assert_close(half[key], value)
        torch.testing.assert_close(cast[key], value)
