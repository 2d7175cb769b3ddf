"""Dense heads on plans, under their stock assigners: mmdet's losses."""

import pytest
import torch
from helpers.boxes import random_boxes
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData

import mmdet_uot.heads  # noqa: F401

NUM_CLASSES = 4
STRIDES = [8, 16]
SIZE = 96
COMMON = dict(
    num_classes=NUM_CLASSES,
    in_channels=8,
    feat_channels=8,
    stacked_convs=1,
    norm_cfg=dict(type='BN'),
)
ANCHORS = dict(
    anchor_generator=dict(
        type='AnchorGenerator',
        ratios=[1.0],
        octave_base_scale=2,
        scales_per_octave=1,
        strides=STRIDES,
    )
)
ATSS = dict(type='ATSSAssigner', topk=5, ignore_iof_thr=0.4)
SIM_OTA = dict(type='SimOTAAssigner', center_radius=2.5)
FOCAL = dict(type='FocalLoss', use_sigmoid=True)
QUALITY = dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0)
SETTINGS = {
    'ATSSHead': (
        ATSS,
        dict(
            COMMON, **ANCHORS, loss_cls=FOCAL, loss_bbox=dict(type='GIoULoss')
        ),
    ),
    'GFLHead': (
        ATSS,
        dict(
            COMMON,
            **ANCHORS,
            loss_cls=QUALITY,
            loss_dfl=dict(type='DistributionFocalLoss', loss_weight=0.25),
            loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
            reg_max=8,
        ),
    ),
    'VFNetHead': (
        ATSS,
        dict(
            COMMON,
            anchor_generator=dict(
                **ANCHORS['anchor_generator'], center_offset=0.0
            ),
            strides=STRIDES,
            regress_ranges=((-1, 32), (32, 1e8)),
            loss_cls=dict(type='VarifocalLoss', use_sigmoid=True),
            loss_bbox=dict(type='GIoULoss', loss_weight=1.5),
            loss_bbox_refine=dict(type='GIoULoss', loss_weight=2.0),
        ),
    ),
    'RTMDetHead': (
        dict(type='DynamicSoftLabelAssigner', topk=5),
        dict(
            COMMON,
            with_objectness=False,
            anchor_generator=dict(
                type='MlvlPointGenerator', offset=0, strides=STRIDES
            ),
            bbox_coder=dict(type='DistancePointBBoxCoder'),
            loss_cls=QUALITY,
            loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        ),
    ),
    'YOLOXHead': (
        SIM_OTA,
        dict(COMMON, strides=STRIDES),
    ),
}
TOOD = dict(
    COMMON,
    stacked_convs=2,
    norm_cfg=dict(type='GN', num_groups=4),
    **ANCHORS,
    loss_cls=dict(
        type='QualityFocalLoss', use_sigmoid=True, activated=True, beta=2.0
    ),
    loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
)
TAL = dict(type='TaskAlignedAssigner', topk=5)
FCOS = dict(COMMON, strides=STRIDES, regress_ranges=((-1, 32), (32, 1e8)))
SIM = dict(type='UOTAssigner', preset='sim_ota')
# Costs of anchors where there are anchors, of boxes and points elsewhere.
PLANS = [
    *(
        (name, dict(type='UOTAssigner'))
        for name in ('ATSSHead', 'GFLHead', 'VFNetHead')
    ),
    *(
        (name, {**SIM, **softness})
        for name in ('RTMDetHead', 'YOLOXHead', 'FCOSHead')
        for softness in ({}, dict(epsilon=0.05))
    ),
]


def scene(counts, num_ignored=0, pad=None):
    generator = torch.Generator().manual_seed(4)
    features = [
        torch.randn(len(counts), 8, SIZE // x, SIZE // x, generator=generator)
        for x in STRIDES
    ]
    gts = [
        InstanceData(
            bboxes=random_boxes(count, generator, corner=50, side=(10, 40)),
            labels=torch.arange(count) % NUM_CLASSES,
        )
        for count in counts
    ]
    ignore = [
        InstanceData(bboxes=random_boxes(num_ignored, generator, corner=50))
        for _ in counts
    ]
    metas = [
        dict(img_shape=shape, pad_shape=shape)
        for shape in pad or [(SIZE, SIZE)] * len(counts)
    ]
    return features, gts, metas, ignore if num_ignored else None


SCENES = {
    'many': dict(counts=[5, 2]),
    'some empty': dict(counts=[0, 3]),
    'all empty': dict(counts=[0, 0]),
    'ignored': dict(counts=[3, 1], num_ignored=2),
    'padded': dict(counts=[3, 2], pad=[(64, 96), (96, 96)]),
}


def losses(kind, config, assigner, the_scene, of_train_cfg=None, **options):
    """Losses, and their gradients by the parameters of the head."""
    features, gts, metas, ignore = scene(**the_scene)
    train_cfg = assigner and ConfigDict(
        assigner=assigner,
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
        **(of_train_cfg or {}),
    )
    torch.manual_seed(0)
    head = MODELS.build(dict(type=kind, train_cfg=train_cfg, **config))
    head.init_weights()
    for name, value in options.items():
        setattr(head, name, value)
    found = head.loss_by_feat(*head(features), gts, metas, ignore)
    found = {
        name: value if isinstance(value, list) else [value]
        for name, value in found.items()
    }
    parameters = [*head.parameters()]
    total = sum(sum(value) for value in found.values())
    return found, torch.autograd.grad(total, parameters, allow_unused=True)


@pytest.mark.parametrize('the_scene', SCENES.values(), ids=SCENES)
@pytest.mark.parametrize('name', SETTINGS)
def test_a_stock_assigner_gives_the_stock_losses(name, the_scene):
    assigner, config = SETTINGS[name]
    use_l1 = dict(use_l1=True) if name == 'YOLOXHead' else {}
    expected, stock = losses(name, config, assigner, the_scene, **use_l1)
    found, grads = losses('UOT' + name, config, assigner, the_scene, **use_l1)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        torch.testing.assert_close(found[key], values, rtol=1e-5, atol=1e-7)
    for grad, other in zip(grads, stock):
        # What is not reached has no gradient, or one of zeros.
        grad, other = (
            torch.zeros(()) if x is None or not x.any() else x
            for x in (grad, other)
        )
        torch.testing.assert_close(grad, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(('name', 'assigner'), PLANS, ids=str)
def test_plans_of_ours_train_the_head(name, assigner):
    config = dict(FCOS, norm_on_bbox=True)
    if name != 'FCOSHead':
        _, config = SETTINGS[name]
    found, grads = losses('UOT' + name, config, assigner, SCENES['many'])
    assert sum(sum(value) for value in found.values()) > 0
    assert all(x is None or x.isfinite().all() for x in grads)
    assert sum(x is not None and bool(x.any()) for x in grads) > 8


def test_fcos_without_an_assigner_keeps_its_regions():
    expected, stock = losses('FCOSHead', FCOS, None, SCENES['many'])
    found, grads = losses('UOTFCOSHead', FCOS, None, SCENES['many'])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(grads, stock)


@pytest.mark.parametrize('counts', ([5, 2], [0, 3]), ids=str)
def test_yolox_on_sim_otas_preset_has_the_losses_of_sim_ota(counts):
    """The head gives logits, and the preset is of probabilities."""
    scene_of = dict(counts=counts)
    config = SETTINGS['YOLOXHead'][1]
    expected, stock = losses('YOLOXHead', config, SIM_OTA, scene_of)
    found, grads = losses('UOTYOLOXHead', config, SIM, scene_of)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(grads, stock, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'preset', ('ota', 'sim_ota', 'task_aligned', 'dynamic_soft_label')
)
def test_atss_may_match_its_predictions(preset):
    assigner, scene_of = (
        dict(type='UOTAssigner', preset=preset),
        SCENES['many'],
    )
    config = dict(SETTINGS['ATSSHead'][1], match_predictions=True)
    found, grads = losses('UOTATSSHead', config, assigner, scene_of)
    assert all(x is None or x.isfinite().all() for x in grads)
    assert sum(found['loss_bbox']) > 0
    # Anchors have no scores to be matched by.
    config = dict(config, match_predictions=False)
    with pytest.raises(ValueError, match='scores'):
        losses('UOTATSSHead', config, assigner, scene_of)


def test_heads_say_what_their_scores_and_priors_are():
    """RTMDet has logits and points; the preset is of TOOD's head."""
    config = SETTINGS['RTMDetHead'][1]
    preset = dict(type='UOTAssigner', preset='task_aligned')
    spelt_out = dict(
        preset,
        match_costs=dict(type='AlignmentCost', scores='logits'),
        candidates=[
            dict(type='InsideBox', margin=0.01, priors='points'),
            dict(type='IoUAbove'),
        ],
    )
    expected, found = (
        losses('UOTRTMDetHead', config, assigner, SCENES['many'])
        for assigner in (spelt_out, preset)
    )
    assert sum(map(sum, found[0].values())) > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def tood_losses(kind, assigner, the_scene, epoch, initial=ATSS, **exponents):
    MessageHub.get_current_instance().update_info('epoch', epoch)
    exponents = {'alpha': 1, 'beta': 6, **exponents}
    config = dict(TOOD, feat_channels=8)
    return losses(
        kind,
        config,
        assigner,
        the_scene,
        of_train_cfg=dict(
            initial_epoch=1, initial_assigner=initial, **exponents
        ),
    )


@pytest.mark.parametrize('the_scene', SCENES.values(), ids=SCENES)
@pytest.mark.parametrize('epoch', (0, 1))
def test_tood_under_its_assigners_has_the_stock_losses(epoch, the_scene):
    exponents = dict(alpha=0.5, beta=4.0)
    expected, stock = tood_losses(
        'TOODHead', TAL, the_scene, epoch, **exponents
    )
    found, grads = tood_losses(
        'UOTTOODHead', TAL, the_scene, epoch, **exponents
    )
    for key, values in expected.items():
        torch.testing.assert_close(found[key], values, rtol=1e-5, atol=1e-7)
    for grad, other in zip(grads, stock):
        assert (grad is None) == (other is None)
        if grad is not None:
            torch.testing.assert_close(grad, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('softness', ({}, dict(epsilon=0.05)), ids=str)
def test_tood_takes_plans_in_both_of_its_phases(softness):
    plan = dict(type='UOTAssigner', preset='task_aligned', **softness)
    for epoch in (0, 1):
        found, grads = tood_losses(
            'UOTTOODHead',
            plan,
            SCENES['many'],
            epoch,
            initial=dict(type='UOTAssigner'),
        )
        assert sum(found['loss_bbox']) > 0
        assert all(x is None or x.isfinite().all() for x in grads)
