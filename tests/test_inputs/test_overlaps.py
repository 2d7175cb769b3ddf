import pytest
import torch
from mmdet.structures.bbox import bbox_overlaps

from mmdet_uot.inputs.overlaps import pairwise_overlaps


def boxes(*shape):
    """Some without area, some with corners the wrong way round, one apart."""
    generator = torch.Generator().manual_seed(sum(shape))
    corner, size = 100 * torch.rand(2, *shape, 2, generator=generator)
    size[..., ::5, 0] = 0.0
    size[..., ::7, :] *= -1
    result = torch.cat((corner, corner + size), dim=-1)
    result[..., -1:, :] += 1e4
    return result


@pytest.mark.parametrize('mode', ['iou', 'giou', 'iof'])
@pytest.mark.parametrize('lead', [(), (3,)])
@pytest.mark.parametrize('K, L', [(20, 31), (1, 1), (0, 3), (3, 0)])
def test_overlaps_are_those_of_mmdet(K, L, lead, mode):
    first, second = boxes(*lead, K), boxes(*lead, L)
    expected = bbox_overlaps(first, second, mode=mode)
    given = first.clone(), second.clone()
    assert torch.equal(pairwise_overlaps(first, second, mode), expected)
    assert torch.equal(first, given[0]) and torch.equal(second, given[1])


def test_boxes_that_are_not_finite_give_what_is_not_finite():
    first, second = boxes(3), boxes(4)
    first[1, 2] = torch.nan
    overlaps = pairwise_overlaps(first, second)
    assert overlaps[1].isnan().all()
    assert overlaps[[0, 2]].isfinite().all()
