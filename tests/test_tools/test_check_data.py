"""What is wrong with data is said in a line, before anything is trained."""

import json
import math

import numpy as np
import pytest
from helpers.tools import load_tool
from mmengine.config import Config
from PIL import Image

WIDTH, HEIGHT, IMAGES = 40, 30, 3
BOX = dict(category_id=1, bbox=[5, 6, 10, 12], iscrowd=0, area=120)


@pytest.fixture
def data(tmp_path):
    """Three images with a box each, and their annotations."""
    (tmp_path / 'images').mkdir()
    images = [
        dict(id=i, file_name=f'{i}.jpg', width=WIDTH, height=HEIGHT)
        for i in range(IMAGES)
    ]
    for image in images:
        save(tmp_path, image['file_name'])
    boxes = [dict(BOX, id=i + 1, image_id=i) for i in range(IMAGES)]
    names = [dict(id=1, name='cell'), dict(id=2, name='dust')]
    return dict(images=images, annotations=boxes, categories=names)


def save(folder, name, size=(WIDTH, HEIGHT), orientation=None):
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    pixels = np.full((size[1], size[0], 3), 99, np.uint8)
    Image.fromarray(pixels).save(folder / 'images' / name, exif=exif)


@pytest.fixture
def check(tmp_path, data, capsys):
    """What the tool prints and ends with; options change the config."""

    def check(change=lambda cfg: None, wrap=lambda dataset: dataset):
        (tmp_path / 'boxes.json').write_text(json.dumps(data))
        dataset = dict(
            type='CocoDataset',
            data_root=str(tmp_path),
            ann_file='boxes.json',
            data_prefix=dict(img='images'),
            metainfo=dict(classes=('cell', 'dust')),
            pipeline=[dict(type='LoadImageFromFile')],
        )
        loader = dict(batch_size=3, drop_last=True, dataset=wrap(dataset))
        cfg = Config(dict(default_scope='mmdet', train_dataloader=loader))
        change(cfg)
        cfg.dump(tmp_path / 'own.py')
        code = 0
        try:
            load_tool('check_data').main([str(tmp_path / 'own.py')])
        except SystemExit as end:
            code = end.code
        return capsys.readouterr().out, code

    return check


def join_and_repeat(dataset):
    join = dict(type='ConcatDataset', datasets=[dataset, dataset])
    return dict(type='RepeatDataset', times=2, dataset=join)


def test_right_data_has_no_errors(check):
    printed, code = check()
    assert code == 0
    assert printed.splitlines()[1:] == [
        '  cell: 3 of 3 boxes used',
        '  dust: 0 of 0 boxes used',
        'no errors',
    ]
    printed, code = check(wrap=join_and_repeat)
    assert code == 0
    assert printed.count('cell: 3 of 3') == 2


def no_image(data, folder):
    (folder / 'images/1.jpg').unlink()


def other_size(data, folder):
    save(folder, '1.jpg', size=(31, 41))


def turned(data, folder):
    save(folder, '1.jpg', orientation=6)


def turned_upright(data, folder):
    save(folder, '1.jpg', (HEIGHT, WIDTH), orientation=8)


def box_of(*bbox):
    def change(data, folder):
        data['annotations'][1]['bbox'] = [*bbox]

    return change


def entry(of_list, **change):
    return lambda data, folder: data[of_list][1].update(change)


def no_list(data, folder):
    del data['categories']


def no_width(data, folder):
    del data['images'][0]['width']


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        (no_image, "image files missing in '{folder}/images' (1): 1.jpg"),
        (other_size, 'another size than the file says (1): 1.jpg is 31x41, n'),
        (turned, 'their boxes are elsewhere (1): 1.jpg is 30x40, not 40x30'),
        (box_of(1, 2, 3), 'that are not [left, top, width, height] (1): 1.jp'),
        (box_of(1, 2, 3, math.nan), 'boxes that are not finite (1): 1.jpg'),
        (entry('annotations', image_id=9), 'that no image has (1): annotatio'),
        (entry('annotations', category_id=9), 'unknown category_id (1): 1.j'),
        (entry('annotations', id=1), 'ids that several annotations share (1)'),
        (entry('categories', name='dusk'), "'dust' (did you mean 'dusk'?)"),
        (no_list, 'not in COCO format: no list categories'),
        (no_width, "not in COCO format: 1 of 3 images have no 'width'"),
    ],
)
def test_an_error_is_a_line(change, line, check, data, tmp_path):
    change(data, tmp_path)
    printed, code = check()
    assert code == '1 kinds of errors'
    (found,) = [x for x in printed.splitlines() if x.startswith('  error')]
    assert line.format(folder=tmp_path) in found


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        (box_of(5, 6, 0, 9), 'boxes without area, narrower than a pixel'),
        (box_of(50, 6, 9, 9), 'boxes beside their image: mmdet leaves them'),
        (box_of(35, 6, 9, 9), 'boxes that leave their image (1): 1.jpg (anno'),
        (entry('annotations', image_id=0), '1 images have no boxes'),
    ],
)
def test_a_warning_is_a_line(change, line, check, data, tmp_path):
    change(data, tmp_path)
    printed, code = check()
    assert code == 0
    assert f'  warning: {line}' in printed


def test_turned_images_are_as_they_are_loaded(check, data, tmp_path):
    turned_upright(data, tmp_path)
    assert check()[1] == 0

    def as_stored(cfg):
        load = cfg.train_dataloader.dataset.pipeline[0]
        load.color_type = 'unchanged'

    assert '1.jpg is 30x40, not 40x30' in check(as_stored)[0]


def order(cfg):
    cfg.train_dataloader.dataset.metainfo.classes = ('dust', 'cell')


def fewer(cfg):
    cfg.train_dataloader.dataset.metainfo.classes = ('dust',)


def batch(cfg):
    cfg.train_dataloader.batch_size = 4


def head(cfg):
    cfg.model = dict(roi_head=dict(bbox_head=[dict(num_classes=80)]))


def no_file(cfg):
    cfg.train_dataloader.dataset.ann_file = 'nothing.json'


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        (order, 'error: the order of classes must be that of the categories'),
        (fewer, "warning: categories that the config leaves out (1): 'cell'"),
        (batch, 'error: 3 images make no batch of batch_size=4 with drop_la'),
        (head, 'error: model.roi_head.bbox_head.num_classes=80, but there ar'),
        (no_file, "error: cannot read ann_file '{folder}/nothing.json' (No s"),
    ],
)
def test_the_config_is_held_against_the_data(change, line, check, tmp_path):
    printed, code = check(change)
    assert line.format(folder=tmp_path) in printed
    assert (code == 0) == line.startswith('warning')
