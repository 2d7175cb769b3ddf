"""Images are shown as what they are, whatever their channels and dtype."""

import numpy as np
import pytest
import torch

from mmdet_uot.visualization.pixels import to_picture


def image(*bands, dtype=torch.uint8):
    """(C, 1, n) of the values of each band."""
    return torch.tensor(bands).to(dtype)[:, None]


def shown(*args, **kwargs):
    rgb, note = to_picture(image(*args, **kwargs))
    assert rgb.dtype == np.uint8
    return rgb[0].tolist(), note


def test_bgr_becomes_rgb_to_the_last_bit():
    every = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256).clone()
    every[0] = 7
    rgb, note = to_picture(every)
    assert note == ''
    assert (rgb[..., 2] == 7).all()
    assert np.array_equal(rgb[0, :, 0], np.arange(256))


def test_what_is_drawn_already_is_left_alone():
    rgb = np.zeros((2, 4, 3), np.uint8)
    assert to_picture(rgb) == (rgb, '')


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.int16])
def test_augmented_numbers_of_bytes_stay_and_are_clipped(dtype):
    values = [300, 255, 64, -5] if dtype.is_floating_point else [255, 64, -5]
    expected = [[min(max(x, 0), 255)] * 3 for x in values]
    assert shown(values, dtype=dtype) == (expected, '')


def test_one_band_is_gray_and_of_two_the_first():
    assert shown([9, 200]) == ([[9] * 3, [200] * 3], '')
    assert shown([9], [200]) == ([[9] * 3], 'band 1 of 2 in gray')


@pytest.mark.parametrize('bands', [4, 5, 13])
def test_of_many_bands_the_first_three_are_drawn(bands):
    pixels, note = shown(*([20 + x] for x in range(bands)))
    assert pixels == [[22, 21, 20]]
    assert note == f'bands 3, 2, 1 of {bands} as red, green, blue'


@pytest.mark.parametrize(
    ('values', 'dtype', 'note'),
    [
        ([4500, 11250, 18000], torch.int16, '4,500 to 18,000'),
        ([-1000, 0, 1000], torch.int32, '-1,000 to 1,000'),
        ([0.0, 0.5, 1.0], torch.float16, '0 to 1'),
        ([-2.0, 0.0, 2.0], torch.float64, '-2 to 2'),
        ([0, 2048, 4096], torch.float32, '0 to 4,096'),
    ],
)
def test_other_ranges_are_said(values, dtype, note):
    pixels, said = shown(values, dtype=dtype)
    assert pixels == [[0] * 3, [127] * 3, [255] * 3]
    assert said == f'values {note} as black to white'


def test_what_is_not_finite_is_black():
    inf, nan = float('inf'), float('nan')
    pixels, _ = shown([inf, -inf, nan, 0.5, 1.0], dtype=torch.float32)
    assert [x for x, *_ in pixels] == [0, 0, 0, 127, 255]
    assert shown([nan], dtype=torch.float32) == ([[0] * 3], '')


@pytest.mark.parametrize('value', [0, 3, 70000])
def test_a_flat_image_is_shown(value):
    shown([value] * 4, dtype=torch.int64)


@pytest.mark.parametrize('shape', [(4, 5), (3, 0, 5), (2, 3, 4, 5)])
def test_what_is_no_image_is_an_error(shape):
    with pytest.raises(ValueError, match='an image must be'):
        to_picture(torch.zeros(shape))
