import json

import cv2
import numpy as np
import pytest

from mmdet_uot.datasets.color_boxes import (
    CLASSES,
    PALETTE,
    ColorBoxesOptions,
    image_rng,
    render_scene,
    sample_scene,
)
from mmdet_uot.datasets.color_boxes.palette import GRAY
from mmdet_uot.datasets.color_boxes.scene import pairwise_iou

DEFAULT = ColorBoxesOptions()
ONE_CLEAN = ColorBoxesOptions(max_objects=1, noise_std=0)


def scenes(options, number):
    for index in range(number):
        yield sample_scene(options, image_rng(0, 'train', index))


def clean_images(number):
    """Pairs of a scene of one rectangle and its picture without noise."""
    for index in range(number):
        rng = image_rng(0, 'train', index)
        scene = sample_scene(ONE_CLEAN, rng)
        if len(scene.labels) == 1:
            yield scene, render_scene(scene, ONE_CLEAN, rng)


def coverage(scene, image):
    """How much of each pixel the only rectangle covers, in [0, 1]."""
    step = np.array(PALETTE[scene.labels[0]], float) - GRAY
    channel = np.abs(step).argmax()
    return (image[..., channel] - float(GRAY[channel])) / step[channel]


def test_palette_is_told_apart_from_itself_and_from_the_background():
    colors = np.array([*PALETTE, GRAY], np.float32)[None] / 255
    lab = cv2.cvtColor(colors, cv2.COLOR_RGB2LAB)[0]
    distance = np.linalg.norm(lab[:, None] - lab, axis=-1)
    assert len(CLASSES) == len(set(CLASSES)) == 20
    assert distance[~np.eye(21, dtype=bool)].min() >= 40


def test_boxes_are_inside_the_canvas_and_overlap_at_most_as_asked():
    highest = 0
    for scene in scenes(DEFAULT, 200):
        boxes = scene.boxes
        assert (boxes >= 0).all()
        assert (boxes <= [500, 400, 500, 400]).all()
        iou = np.triu(pairwise_iou(boxes, boxes), 1)
        highest = max(highest, iou.max(initial=0))
        assert scene.dropped == 0
    assert 0.2 < highest <= 0.25


def test_pairwise_iou_of_known_boxes():
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6.0]])
    expected = [[1, 1 / 7, 0], [1 / 7, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(pairwise_iou(boxes, boxes), expected)


def test_a_crowded_canvas_ends_and_counts_what_it_dropped():
    crowded = ColorBoxesOptions(
        image_size=(120, 120), max_objects=60, max_iou=0
    )
    found = list(scenes(crowded, 10))
    assert sum(scene.dropped for scene in found) > 0
    for index, scene in enumerate(found):
        drawn = image_rng(0, 'train', index).integers(0, 61)
        assert len(scene.labels) + scene.dropped == drawn


def test_pixels_of_a_rectangle_fill_its_box_area_and_center():
    number = 0
    for scene, image in clean_images(60):
        covered = coverage(scene, image)
        y, x = np.nonzero(covered > 0.1)
        drawn = [x.min(), y.min(), x.max() + 1, y.max() + 1]
        np.testing.assert_allclose(drawn, scene.boxes[0], atol=1.5)
        np.testing.assert_allclose(covered.sum(), scene.areas[0], rtol=0.02)
        rows, columns = np.indices(covered.shape) + 0.5
        center = [
            (covered * columns).sum() / covered.sum(),
            (covered * rows).sum() / covered.sum(),
        ]
        np.testing.assert_allclose(center, scene.corners[0].mean(0), atol=0.1)
        number += 1
    assert number > 20


def test_smaller_rectangles_are_painted_over_larger_ones():
    for scene in scenes(DEFAULT, 50):
        assert (np.diff(scene.areas) <= 0).all()


def test_noise_has_the_asked_deviation_and_is_independent():
    options = ColorBoxesOptions(max_objects=0)
    rng = image_rng(0, 'train', 0)
    image = render_scene(sample_scene(options, rng), options, rng) / 255.0
    assert image.std() == pytest.approx(0.05, rel=0.01)
    assert image.mean() == pytest.approx(GRAY[0] / 255, abs=2e-4)
    deviation = (image - image.mean()) / image.std()
    neighbours = [
        (deviation[1:] * deviation[:-1]).mean(),
        (deviation[:, 1:] * deviation[:, :-1]).mean(),
        (deviation[..., 1:] * deviation[..., :-1]).mean(),
    ]
    np.testing.assert_allclose(neighbours, 0, atol=0.01)


def test_noise_does_not_move_the_rectangles():
    clean = ColorBoxesOptions(noise_std=0)
    for noisy, other in zip(scenes(DEFAULT, 5), scenes(clean, 5)):
        np.testing.assert_array_equal(noisy.corners, other.corners)


def test_images_differ_by_seed_split_and_index():
    keys = [(0, 'train', 1), (1, 'train', 1), (0, 'val', 1), (0, 'train', 2)]
    drawn = {tuple(image_rng(*key).random(2)) for key in keys}
    assert len(drawn) == len(keys)


def test_this_version_of_the_generator_keeps_its_images():
    """If this fails, raise GENERATOR_VERSION: the images are others."""
    rng = image_rng(0, 'train', 1)
    scene = sample_scene(DEFAULT, rng)
    image = render_scene(scene, DEFAULT, rng)
    assert scene.labels.tolist() == [
        7,
        3,
        11,
        1,
        12,
        7,
        0,
        13,
        5,
        15,
        13,
        18,
        4,
        14,
        10,
        12,
        3,
        16,
    ]
    assert scene.boxes[0].tolist() == [365.09, 54.43, 456.34, 148.4]
    assert int(image.sum()) == pytest.approx(77123088, abs=500)


@pytest.mark.parametrize(
    ('option', 'value', 'error', 'message'),
    [
        ('seed', -1, ValueError, 'seed must be >= 0, got -1'),
        ('seed', 0.5, TypeError, 'seed must be an integer, got 0.5'),
        ('max_objects', -3, ValueError, 'max_objects must be >= 0, got -3'),
        ('max_objects', True, TypeError, 'max_objects must be an integer'),
        ('image_size', 500, TypeError, 'image_size must be a pair'),
        ('image_size', (500, 400.5), TypeError, 'image_size must be an int'),
        ('image_size', (500, 100), ValueError, 'use a larger image_size'),
        ('side_range', (80, 12), ValueError, 'side_range must be'),
        ('side_range', (0, 12), ValueError, 'side_range must be'),
        ('side_range', (12, float('nan')), ValueError, 'side_range'),
        ('side_range', (12, '80'), TypeError, 'side_range must be a number'),
        ('max_iou', 1.5, ValueError, r'max_iou must be in \[0, 1\], got 1.5'),
        ('noise_std', -0.1, ValueError, 'noise_std must be in'),
        ('noise_std', None, TypeError, 'noise_std must be a number'),
    ],
)
def test_wrong_options_are_named(option, value, error, message):
    with pytest.raises(error, match=message):
        ColorBoxesOptions(**{option: value})


def test_options_of_numpy_types_are_the_same_options():
    options = ColorBoxesOptions(
        seed=np.int64(0), image_size=[500, 400], side_range=(12.0, 80.0)
    )
    assert options == DEFAULT
    assert json.loads(json.dumps(options.to_json())) == options.to_json()
