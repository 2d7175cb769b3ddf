"""RoI heads on plans: parity with mmdet's, weights, refusals."""

import pytest
import torch
from helpers.boxes import random_boxes
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmdet_uot.heads import UOTStandardRoIHead

NUM_CLASSES = 4
MAX_IOU = dict(
    type='MaxIoUAssigner',
    pos_iou_thr=0.5,
    neg_iou_thr=0.5,
    min_pos_iou=0.5,
    match_low_quality=False,
    ignore_iof_thr=0.4,
)
UOT = dict(type='UOTAssigner', ignore_iof_thr=0.4)
SOFT = dict(type='SinkhornAssigner', match_costs=dict(type='OneMinusIoUCost'))


def stage(assigner):
    return dict(
        assigner=assigner,
        sampler=dict(
            type='RandomSampler',
            num=24,
            pos_fraction=0.25,
            add_gt_as_proposals=True,
        ),
        mask_size=14,
        pos_weight=-1,
        debug=False,
    )


def extractor(size):
    return dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=size, sampling_ratio=0),
        out_channels=4,
        featmap_strides=[8],
    )


def box_head(agnostic=False):
    return dict(
        type='Shared2FCBBoxHead',
        in_channels=4,
        fc_out_channels=8,
        roi_feat_size=3,
        num_classes=NUM_CLASSES,
        reg_class_agnostic=agnostic,
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]
        ),
        loss_cls=dict(type='CrossEntropyLoss', loss_weight=1.0),
        loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0),
    )


def standard(assigner, **options):
    return dict(
        bbox_roi_extractor=extractor(3),
        bbox_head={**box_head(), **options},
        train_cfg=ConfigDict(stage(assigner)),
    )


def mask(assigner):
    return dict(
        standard(assigner),
        mask_roi_extractor=extractor(7),
        mask_head=dict(
            type='FCNMaskHead',
            num_convs=1,
            in_channels=4,
            conv_out_channels=4,
            num_classes=NUM_CLASSES,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True),
        ),
    )


def cascade(assigner):
    return dict(
        num_stages=2,
        stage_loss_weights=[1, 0.5],
        bbox_roi_extractor=extractor(3),
        bbox_head=[box_head(agnostic=True), box_head(agnostic=True)],
        train_cfg=[ConfigDict(stage(assigner)), ConfigDict(stage(assigner))],
    )


def losses(kind, config, counts=(5, 0, 3)):
    """Losses and gradients of a head on fixed proposals."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(len(counts), 4, 12, 12, generator=generator)
    samples, proposals = [], []
    for count in counts:
        boxes = random_boxes(count, generator, corner=60, side=(8, 40))
        labels = torch.arange(count) % NUM_CLASSES
        masks = BitmapMasks(torch.ones(count, 96, 96).numpy(), 96, 96)
        sample = DetDataSample(metainfo=dict(img_shape=(96, 96)))
        sample.gt_instances = InstanceData(
            bboxes=boxes, labels=labels, masks=masks
        )
        sample.ignored_instances = InstanceData(
            bboxes=random_boxes(1, generator, corner=60),
            labels=labels[:1] if count else torch.zeros(1),
        )
        samples.append(sample)
        near = boxes.repeat(6, 1)
        near = near + 4 * torch.randn(near.shape, generator=generator)
        near[:, 2:] = torch.maximum(near[:, 2:], near[:, :2] + 2)
        others = random_boxes(20, generator, corner=60, side=(8, 40))
        proposals.append(InstanceData(bboxes=torch.cat((near, others))))
    torch.manual_seed(0)
    head = MODELS.build(dict(type=kind, **config))
    torch.manual_seed(0)
    found = head.loss((features,), proposals, samples)
    total = sum(x for name, x in found.items() if 'loss' in name)
    grads = torch.autograd.grad(total, [*head.parameters()])
    return found, grads


@pytest.mark.parametrize('counts', [(5, 0, 3), (0, 0), (7,)], ids=str)
@pytest.mark.parametrize(
    ('kind', 'config'),
    [
        ('StandardRoIHead', standard(MAX_IOU)),
        (
            'StandardRoIHead',
            standard(
                MAX_IOU,
                reg_decoded_bbox=True,
                reg_class_agnostic=True,
                loss_bbox=dict(type='GIoULoss', loss_weight=10.0),
            ),
        ),
        ('StandardRoIHead', mask(MAX_IOU)),
        ('CascadeRoIHead', cascade(MAX_IOU)),
    ],
    ids=['faster', 'decoded', 'mask', 'cascade'],
)
def test_a_stock_assigner_gives_the_stock_losses(kind, config, counts):
    expected, stock = losses(kind, config, counts)
    found, grads = losses('UOT' + kind, config, counts)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(grads, stock, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('assigner', [UOT, SOFT], ids=['uot', 'balanced'])
@pytest.mark.parametrize('kind', ['StandardRoIHead', 'CascadeRoIHead'])
def test_soft_weights_reach_the_losses(kind, assigner):
    config = (standard if kind == 'StandardRoIHead' else cascade)(assigner)
    hard, _ = losses(kind, config)
    found, grads = losses('UOT' + kind, config)
    assert all(grad.isfinite().all() for grad in grads)
    name = 'loss_cls' if kind == 'StandardRoIHead' else 's0.loss_cls'
    assert not torch.isclose(found[name], hard[name], rtol=1e-4)


def test_the_losses_are_averages_over_the_mass():
    # Uniform scores: every sample costs log(C + 1), whatever it is.
    torch.manual_seed(0)
    head = MODELS.build(dict(type='UOTStandardRoIHead', **standard(SOFT)))
    for name in ('weight', 'bias'):
        torch.nn.init.zeros_(getattr(head.bbox_head.fc_cls, name))
    generator = torch.Generator().manual_seed(2)
    boxes = random_boxes(3, generator, corner=60)
    sample = DetDataSample(metainfo=dict(img_shape=(96, 96)))
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(3))
    proposals = InstanceData(bboxes=random_boxes(30, generator, corner=60))
    found = head.loss((torch.randn(1, 4, 12, 12),), [proposals], [sample])
    expected = torch.tensor(NUM_CLASSES + 1.0).log()
    torch.testing.assert_close(found['loss_cls'], expected, rtol=1e-4, atol=0)


def test_what_is_not_carried_is_refused():
    config = standard(MAX_IOU, loss_cls=dict(type='SeesawLoss', num_classes=4))
    with pytest.raises(TypeError, match='loss_cls SeesawLoss cannot'):
        UOTStandardRoIHead(**config)
