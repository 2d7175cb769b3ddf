"""What figures have in common."""

import io

import cv2
import numpy as np
import pytest
from mmengine.visualization import Visualizer

from mmdet_uot.matched_images.example import (
    example_matchers,
    example_problem,
)
from mmdet_uot.visualization import (
    draw_curves,
    draw_epochs,
    draw_grid,
    draw_matchers,
    draw_matching,
    draw_plan,
    to_rgb,
)
from mmdet_uot.visualization.logs import Curve, TrainingLog
from mmdet_uot.visualization.style import COLORS, letters, save

pytestmark = pytest.mark.slow

DRAW = {
    'plan': lambda matched: draw_plan(matched.plan),
    'matching': draw_matching,
    'matchers': lambda matched: draw_matchers(
        {f'{name}\nwith\nnotes': matched for name in 'abcd'}
    ),
    'epochs': lambda matched: draw_epochs({'one': {'epoch 1': matched}}),
}
MATCHES = {
    'ordinary': {},
    'many ground truths': dict(N=100, M=30),
    'anchors': dict(N=8732, M=12),
    'two predictions': dict(N=2, M=1),
    'more ground truths than predictions': dict(N=2, M=5),
    'no ground truths': dict(M=0),
    'portrait': dict(size=(600, 100)),
    'landscape': dict(size=(100, 1200)),
}


def assert_readable(figure):
    """As wide as a README, nothing cut off, nothing on top of a text."""
    height, width, channels = to_rgb(figure).shape
    assert (width, channels) == (900, 3)
    assert 150 < height < 1000
    renderer = figure.canvas.get_renderer()
    x0, y0, x1, y1 = figure.get_tightbbox(renderer).extents * figure.dpi
    assert min(x0, y0) >= -1
    assert x1 <= width + 1
    assert y1 <= height + 1
    parts = [figure._suptitle, *figure.legends]
    boxes = [part.get_window_extent(renderer) for part in parts if part]
    for axes in figure.axes:
        panel = axes.get_tightbbox(renderer)
        assert panel is None or not any(map(panel.padded(-1).overlaps, boxes))


@pytest.mark.parametrize('options', MATCHES.values(), ids=MATCHES)
@pytest.mark.parametrize('name', DRAW)
@pytest.mark.filterwarnings('error')
def test_pictures_of_any_match_are_readable(name, options, match):
    assert_readable(DRAW[name](match(**options)))


@pytest.mark.filterwarnings('error')
def test_pictures_of_the_example_are_readable():
    matchers = example_matchers()
    assert_readable(draw_matchers(matchers))
    for matched in matchers.values():
        assert_readable(draw_plan(matched.plan))
        assert_readable(draw_matching(matched))
    assert_readable(draw_grid(example_problem()))


@pytest.mark.parametrize('count', [1, 4, 7])
@pytest.mark.filterwarnings('error')
def test_pictures_of_trainings_are_readable(count):
    steps = [*range(1, 51)]
    curves = {
        name: Curve(steps, [40 / step for step in steps])
        for name in ('loss', 'loss_cls', 'loss_bbox', 'coco/bbox_mAP')
    }
    logs = {
        f'detr_training_{i}': TrainingLog('epoch', curves)
        for i in range(count)
    }
    assert_readable(draw_curves(logs))


@pytest.mark.parametrize('name', DRAW)
def test_the_same_matching_gives_the_same_pixels(name, match):
    first, second = (to_rgb(DRAW[name](match())) for _ in range(2))
    assert np.array_equal(first, second)


def test_the_visualizer_stores_the_pixels_that_a_file_has(match, tmp_path):
    figure = draw_plan(match().plan)
    visualizer = Visualizer(
        name='figures',
        vis_backends=[dict(type='LocalVisBackend')],
        save_dir=str(tmp_path),
    )
    visualizer.add_image('plan', to_rgb(figure), step=3)
    stored = cv2.imread(str(tmp_path / 'vis_data/vis_image/plan_3.png'))
    buffer = io.BytesIO()
    figure.savefig(buffer)
    file = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), 1)
    assert np.array_equal(stored, file)
    assert np.array_equal(stored[..., ::-1], to_rgb(figure))


@pytest.mark.parametrize('scale', [1, 2])
def test_a_saved_picture_has_the_size_asked_for(
    scale, match, tmp_path, capsys
):
    path = tmp_path / 'new' / 'plan.png'
    save(draw_plan(match().plan), path, scale=scale)
    assert cv2.imread(str(path)).shape[1] == scale * 900
    assert capsys.readouterr().out == f'picture: {path}\n'


def test_ground_truths_have_different_names():
    names = letters(1000)
    assert len({*names}) == 1000
    assert names[:2] == ['A', 'B']
    assert names[25:28] == ['Z', 'AA', 'AB']
    assert names[701:703] == ['ZZ', 'AAA']
    assert letters(0) == []


def test_the_first_two_colours_differ_in_lightness():
    rgb = [[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in COLORS]
    lightness = np.array(rgb) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    assert abs(lightness[0] - lightness[1]) > 0.05
    assert len({*COLORS}) == len(COLORS)
