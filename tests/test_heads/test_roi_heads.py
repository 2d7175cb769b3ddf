"""RoI heads on plans: parity with mmdet's, weights, refusals."""

import pytest
import torch
from helpers.boxes import random_boxes
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmdet_uot.assigners import PlanAssigner
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


def mask_head(**options):
    defaults = dict(
        type='FCNMaskHead',
        num_convs=1,
        in_channels=4,
        conv_out_channels=4,
        num_classes=NUM_CLASSES,
        loss_mask=dict(
            type='CrossEntropyLoss', use_mask=True, loss_weight=0.5
        ),
    )
    return {**defaults, **options}


def mask(assigner, **options):
    return dict(
        standard(assigner),
        mask_roi_extractor=extractor(7),
        mask_head=mask_head(**options),
    )


def shared(assigner):
    return dict(
        standard(assigner, roi_feat_size=7),
        bbox_roi_extractor=extractor(7),
        mask_head=mask_head(class_agnostic=True),
    )


def cascade(assigner):
    return dict(
        num_stages=2,
        stage_loss_weights=[1, 0.5],
        bbox_roi_extractor=extractor(3),
        bbox_head=[box_head(agnostic=True), box_head(agnostic=True)],
        train_cfg=[ConfigDict(stage(assigner)), ConfigDict(stage(assigner))],
    )


def cascade_mask(assigner):
    return dict(
        cascade(assigner),
        mask_roi_extractor=extractor(7),
        mask_head=[mask_head(), mask_head()],
    )


def on_plans(config):
    """The same with our mask heads."""
    heads = config.get('mask_head')
    if isinstance(heads, list):
        heads = [dict(head, type='UOTFCNMaskHead') for head in heads]
    elif heads:
        heads = dict(heads, type='UOTFCNMaskHead')
    return dict(config, mask_head=heads) if heads else config


def random_masks(count, generator):
    blocks = torch.rand(count, 12, 12, generator=generator) < 0.5
    blocks = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)
    return BitmapMasks(blocks.numpy().astype('uint8'), 96, 96)


def losses(kind, config, counts=(5, 0, 3)):
    """Losses and gradients of a head on fixed proposals."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(len(counts), 4, 12, 12, generator=generator)
    samples, proposals = [], []
    for count in counts:
        boxes = random_boxes(count, generator, corner=60, side=(8, 40))
        labels = torch.arange(count) % NUM_CLASSES
        sample = DetDataSample(metainfo=dict(img_shape=(96, 96)))
        sample.gt_instances = InstanceData(
            bboxes=boxes, labels=labels, masks=random_masks(count, generator)
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
    config = on_plans(config) if kind.startswith('UOT') else config
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
        ('StandardRoIHead', shared(MAX_IOU)),
        ('CascadeRoIHead', cascade(MAX_IOU)),
        ('CascadeRoIHead', cascade_mask(MAX_IOU)),
    ],
    ids=[
        'faster',
        'decoded',
        'mask',
        'shared and agnostic',
        'cascade',
        'cascade mask',
    ],
)
def test_a_stock_assigner_gives_the_stock_losses(kind, config, counts):
    expected, stock = losses(kind, config, counts)
    found, grads = losses('UOT' + kind, config, counts)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(grads, stock, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('assigner', [UOT, SOFT], ids=['uot', 'balanced'])
@pytest.mark.parametrize(
    ('kind', 'config', 'prefix'),
    [
        ('StandardRoIHead', mask, ''),
        ('CascadeRoIHead', cascade_mask, 's0.'),
    ],
    ids=['standard', 'cascade'],
)
def test_soft_weights_reach_the_losses(kind, config, prefix, assigner):
    hard, _ = losses(kind, config(assigner))
    found, grads = losses('UOT' + kind, config(assigner))
    assert all(grad.isfinite().all() for grad in grads)
    for name in (prefix + 'loss_cls', prefix + 'loss_mask'):
        assert not torch.isclose(found[name], hard[name], rtol=1e-4)


@pytest.mark.parametrize('assigner', [UOT, SOFT], ids=['uot', 'balanced'])
def test_images_are_matched_together(assigner, monkeypatch):
    sizes, match = [], PlanAssigner.match

    def count(self, preds, *args):
        sizes.append(len(preds))
        return match(self, preds, *args)

    monkeypatch.setattr(PlanAssigner, 'match', count)
    found = losses('UOTStandardRoIHead', mask(assigner))
    with monkeypatch.context() as patch:
        patch.delattr(UOTStandardRoIHead, 'loss')
        expected = losses('UOTStandardRoIHead', mask(assigner))
    assert sizes == [3, 1, 1, 1]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('class_agnostic', [False, True])
def test_each_positive_learns_the_mask_of_each_of_its_objects(class_agnostic):
    torch.manual_seed(0)
    config = mask(MAX_IOU, class_agnostic=class_agnostic)
    head = UOTStandardRoIHead(**on_plans(config))
    generator = torch.Generator().manual_seed(3)
    drawn, gts = [], []
    for count in (4, 0, 2):
        boxes = random_boxes(count, generator, corner=60, side=(8, 40))
        gts.append(
            InstanceData(
                bboxes=boxes,
                labels=torch.arange(count),
                masks=random_masks(count, generator),
            )
        )
        priors = torch.cat((boxes + 1, random_boxes(9, generator, corner=60)))
        preds = InstanceData(priors=priors)
        found = head.bbox_assigner.assign(preds, gts[-1])
        drawn.append(head.bbox_sampler.sample(found, preds, gts[-1]))
        # Any plan; cubed, so that some pairs are too light to count.
        weights = torch.rand(drawn[-1].weights.shape, generator=generator) ** 3
        drawn[-1].weights = weights
    results = head.mask_loss(
        (torch.randn(3, 4, 12, 12, generator=generator),), drawn, None, gts
    )

    preds = results['mask_preds'].split([len(of.pos_inds) for of in drawn])
    values, masses = [], []
    for image, of in enumerate(drawn):
        for i, box in enumerate(of.pos_priors):
            row = of.weights[i, :-1]
            for j in (row > row.sum() / 10).nonzero()[:, 0]:
                target = gts[image].masks.crop_and_resize(
                    box[None].numpy(), (14, 14), j[None].numpy()
                )
                label = 0 if class_agnostic else gts[image].labels[j]
                value = head.mask_head.loss_mask(
                    preds[image][i, None],
                    torch.from_numpy(target.masks).float(),
                    torch.tensor([label]),
                )
                values.append(value)
                masses.append(row[j])
    masses = torch.stack(masses)
    positives = sum(map(len, preds))
    assert (
        positives
        < len(masses)
        < sum(len(of.pos_inds) * len(own) for of, own in zip(drawn, gts))
    )
    expected = (masses * torch.cat(values)).sum() / masses.sum()
    torch.testing.assert_close(results['loss_mask']['loss_mask'][0], expected)


def test_a_mask_loss_of_another_kind_is_refused():
    loss = dict(type='CrossEntropyLoss', use_mask=True, class_weight=[2.0])
    with pytest.raises(TypeError, match='without class_weight'):
        UOTStandardRoIHead(**on_plans(mask(SOFT, loss_mask=loss)))


def test_in_another_roi_head_the_mask_head_is_mmdets():
    config = mask(SOFT)
    expected, _ = losses('StandardRoIHead', config)
    found, _ = losses('StandardRoIHead', on_plans(config))
    torch.testing.assert_close(found, expected)


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
