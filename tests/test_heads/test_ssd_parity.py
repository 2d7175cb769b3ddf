"""Under hard plans SSD's head gives the losses of mmdet's."""

import pytest
import torch
from mmdet.models.dense_heads import SSDHead

from mmdet_uot.heads import UOTSSDHead


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(pos_weight=2.5),
        dict(allowed_border=0, neg_pos_ratio=1, smoothl1_beta=0.1),
    ],
    ids=str,
)
def test_hard_plans_give_the_stock_losses(hard, options, scene, config):
    if scene.ignore is not None:
        hard = dict(hard, ignore_iof_thr=0.4)
    head = config(hard, **options)
    values, grads = scene.losses(UOTSSDHead(**head))
    expected, stock = scene.losses(SSDHead(**head))
    for name in expected:
        assert len(values[name]) == len(scene.gts)
        for x, y in zip(values[name], expected[name]):
            assert x.shape == y.shape
            torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-7)
    for x, y in zip(grads, stock):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-7)


def test_parity_of_decoded_boxes(hard, make_scene, config):
    scene = make_scene([5, 0, 9])
    head = dict(config(hard), reg_decoded_bbox=True)
    values, grads = scene.losses(UOTSSDHead(**head))
    expected, stock = scene.losses(SSDHead(**head))
    for name in expected:
        torch.testing.assert_close(list(values[name]), list(expected[name]))
    torch.testing.assert_close(grads, stock)
