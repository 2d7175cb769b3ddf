"""What the library finds of overlaps is what their matrix says."""

import math

import pytest
import torch
from helpers.boxes import random_boxes
from mmengine.structures import InstanceData

from mmdet_uot.costs.exclusion import pack, unpack
from mmdet_uot.inputs import grey_zone
from mmdet_uot.inputs.from_instances import InstanceBatch
from mmdet_uot.inputs.grey_zone import lies_in_band
from mmdet_uot.inputs.native_overlaps import (
    bits_above,
    find_band,
    sums_of_greatest,
)
from mmdet_uot.inputs.overlaps import pairwise_overlaps
from mmdet_uot.native import library

pytestmark = pytest.mark.skipif(
    library() is None, reason='the library is not compiled'
)


def make_batch(counts, num_gts=(4, 0, 7), seed=0):
    """Boxes of a model; some twice, so that the greatest IoU is shared."""
    generator = torch.Generator().manual_seed(seed)

    def boxes(number):
        return random_boxes(number, generator, corner=100, side=(5, 60))

    preds = []
    for count in counts:
        pred = boxes(count)
        pred[count // 2 :] = pred[: count - count // 2].clone()
        preds.append(InstanceData(bboxes=pred))
    gts = [
        InstanceData(bboxes=boxes(m), labels=torch.zeros(m).long())
        for m in num_gts
    ]
    gts[2].bboxes[3, 2:] = gts[2].bboxes[3, :2]
    return InstanceBatch(preds, gts, None)


def matrix(batch):
    return pairwise_overlaps(batch.gt_boxes, batch.boxes)


@pytest.fixture(params=[(200, 200, 200), (130, 7, 64), (65, 1, 40)], ids=str)
def batch(request):
    return make_batch(request.param)


@pytest.mark.parametrize('threshold', [0.0, 0.4])
def test_pairs_above(batch, threshold):
    expected = matrix(batch) > threshold
    is_real = torch.arange(expected.shape[1]) < batch.gt_counts.unsqueeze(1)
    found = bits_above(batch, threshold).masked_fill(~is_real[..., None], 0)
    assert torch.equal(unpack(found, batch.shape[1]), expected)
    assert torch.equal(found, pack(expected))
    assert expected.any()


@pytest.mark.parametrize('number', [1, 3, 20])
@pytest.mark.parametrize('of_any', [False, True])
def test_sums(batch, number, of_any):
    ious = matrix(batch)
    generator = torch.Generator().manual_seed(number)
    counts = torch.rand(ious.shape, generator=generator) < 0.4
    for row, num_gts in enumerate(batch.num_gts):
        counts[row, num_gts:] = False
    kept = counts.any(1, keepdim=True) if of_any else counts
    most = min(number, ious.shape[2])
    for pairs, values in ((pack(counts), ious * kept), (None, ious)):
        expected = values.topk(most, 2).values.sum(2)
        found = sums_of_greatest(batch, number, pairs, of_any)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('keep_closest', [False, True])
@pytest.mark.parametrize('band', [(0.0, 0.3), (0.3, 0.6)])
def test_the_band(batch, band, keep_closest, monkeypatch):
    found = find_band(batch, *band, keep_closest) & batch.pred_valid()
    monkeypatch.setattr(grey_zone, 'find_band', lambda *_: None)
    assert torch.equal(found, lies_in_band(batch, *band, keep_closest))
    assert found.any()


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_boxes_that_are_no_good_are_for_torch(bad):
    batch = make_batch((9, 9, 9))
    batch.preds[1].bboxes[4, 2] = bad
    assert bits_above(batch, 0.0) is None
    assert sums_of_greatest(batch, 3) is None
    assert find_band(batch, 0.3, 0.6, True) is None
