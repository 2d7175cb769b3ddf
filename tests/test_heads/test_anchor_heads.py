"""RetinaNet's and the RPN's head on plans: parity, mass, gradients."""

import pytest
import torch
from helpers.heads import HEAD, NUM_CLASSES
from mmdet.models.dense_heads import RetinaHead, RPNHead
from mmengine.config import ConfigDict

from mmdet_uot.heads import UOTAnchorHead, UOTRetinaHead, UOTRPNHead

FORCED = dict(
    type='MaxIoUAssigner',
    pos_iou_thr=0.5,
    neg_iou_thr=0.4,
    min_pos_iou=0,
    ignore_iof_thr=0.4,
)
FOCAL = dict(type='FocalLoss', use_sigmoid=True)
RANDOM = dict(
    type='RandomSampler', num=48, pos_fraction=0.5, add_gt_as_proposals=False
)


def train_cfg(assigner, **options):
    defaults = dict(allowed_border=-1, pos_weight=-1, debug=False)
    return ConfigDict(assigner=assigner, **{**defaults, **options})


def retina(assigner, train=None, **options):
    return dict(
        num_classes=NUM_CLASSES,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        anchor_generator=HEAD['anchor_generator'],
        train_cfg=train_cfg(assigner, **(train or {})),
        **{'loss_cls': FOCAL, **options},
    )


def rpn(assigner, sampler=RANDOM):
    return dict(
        in_channels=8,
        feat_channels=8,
        anchor_generator=HEAD['anchor_generator'],
        train_cfg=train_cfg(assigner, sampler=sampler),
    )


SETTINGS = {
    'focal': (RetinaHead, UOTRetinaHead, retina(FORCED)),
    'decoded': (
        RetinaHead,
        UOTRetinaHead,
        retina(
            FORCED,
            dict(allowed_border=0, pos_weight=2.5),
            reg_decoded_bbox=True,
            loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        ),
    ),
    'softmax': (
        RetinaHead,
        UOTRetinaHead,
        retina(
            FORCED,
            dict(sampler=RANDOM),
            loss_cls=dict(type='CrossEntropyLoss', loss_weight=0.5),
        ),
    ),
    'rpn': (RPNHead, UOTRPNHead, rpn(FORCED)),
}


@pytest.mark.parametrize('setting', SETTINGS)
def test_stock_assigners_give_the_stock_losses(setting, scene):
    stock, ours, config = SETTINGS[setting]
    if stock is RPNHead:
        for gt in scene.gts:
            gt.labels = torch.zeros_like(gt.labels)
    found = []
    for head in (ours, stock):
        torch.manual_seed(0)
        found.append(scene.losses(head(**config)))
    (values, grads), (expected, stock_grads) = found
    assert list(values) == list(expected)
    for name in expected:
        torch.testing.assert_close(
            list(values[name]), list(expected[name]), rtol=1e-5, atol=1e-7
        )
    torch.testing.assert_close(grads, stock_grads, rtol=1e-5, atol=1e-7)


def test_soft_weights_reach_the_losses(soft, make_scene):
    scene = make_scene([5, 0, 9])
    values, grads = scene.losses(UOTRetinaHead(**retina(soft)))
    hard, _ = scene.losses(RetinaHead(**retina(soft)))
    assert all(x.isfinite().all() for x in grads)
    total = sum(values['loss_cls']) + sum(values['loss_bbox'])
    stock = sum(hard['loss_cls']) + sum(hard['loss_bbox'])
    assert total > 0
    assert not torch.isclose(total, stock, rtol=1e-3)


class OnePerPair(torch.nn.Module):
    """A box loss of 1, which remembers the weights of the pairs."""

    def forward(self, pred, target, weight, reduction_override):
        self.mass = weight[:, 0]
        return weight / 4 + 0 * pred


def test_the_box_loss_is_an_average_over_the_mass(soft, make_scene):
    head = UOTRetinaHead(**retina(soft))
    head.loss_bbox = OnePerPair()
    values, _ = make_scene([5, 9]).losses(head)
    assert sum(values['loss_bbox']).item() == pytest.approx(1, rel=1e-5)


def test_a_sampler_draws_no_more_than_it_should(make_scene):
    uot = dict(type='UOTAssigner')
    head = UOTRetinaHead(**retina(uot, dict(sampler=RANDOM)))
    head.loss_bbox = OnePerPair()
    make_scene([5, 9]).losses(head)
    most = 2 * RANDOM['num'] * RANDOM['pos_fraction']
    assert 0 < head.loss_bbox.mass.sum() <= 1.01 * most


def test_what_is_not_carried_is_refused():
    config = retina(FORCED, loss_cls=dict(type='GHMC'))
    with pytest.raises(TypeError, match='loss_cls GHMC cannot be weighted'):
        UOTRetinaHead(**config)

    class Single(RetinaHead):
        def loss_by_feat_single(self):
            pass

    class Mixed(Single, UOTAnchorHead):
        pass

    with pytest.raises(TypeError, match='Single.loss_by_feat_single computes'):
        Mixed(**retina(FORCED))
