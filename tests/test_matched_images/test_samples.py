"""Images of a config and their boxes."""

import json
from itertools import combinations

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmdet_uot.matched_images.samples import find_image, load_dataset
from mmdet_uot.matched_images.samples_figure import draw_samples
from mmdet_uot.visualization.style import to_rgb

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(300, 300), keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs'),
]


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    return str(tmp_path_factory.mktemp('color_boxes')) + '/'


@pytest.fixture
def config(data_root):
    """With four images; ``wrap`` says what to do with their dataset."""

    def config(wrap=lambda dataset: dataset, pipeline=PIPELINE):
        dataset = dict(
            type='ColorBoxesDataset',
            split='val',
            data_root=data_root,
            num_images=4,
            test_mode=True,
            pipeline=pipeline,
        )
        return Config(dict(val_dataloader=dict(dataset=wrap(dataset))))

    return config


@pytest.mark.parametrize(
    'wrap',
    [
        lambda dataset: dataset,
        lambda dataset: dict(type='RepeatDataset', times=2, dataset=dataset),
        lambda dataset: dict(type='ConcatDataset', datasets=[dataset] * 2),
    ],
)
def test_boxes_are_those_of_the_resized_image(wrap, config, data_root):
    cfg = config(wrap)
    before = cfg.to_dict()
    sample = load_dataset(cfg, 'val')[2]
    assert cfg.to_dict() == before
    with open(data_root + 'annotations/val.json') as file:
        annotations = json.load(file)['annotations']
    boxes = np.array([x['bbox'] for x in annotations if x['image_id'] == 2])
    boxes[:, 2:] += boxes[:, :2]
    instances = sample['data_samples'].gt_instances
    resized = boxes * np.tile([300 / 500, 300 / 400], 2)
    np.testing.assert_allclose(instances.bboxes.tensor, resized, rtol=1e-5)


@pytest.mark.parametrize(
    ('image', 'index'),
    [('3', 3), ('000002.png', 2), ('somewhere/000001.png', 1)],
)
def test_an_image_is_found_by_index_or_name(image, index, config):
    assert find_image(load_dataset(config(), 'val'), image) == index


@pytest.mark.parametrize('image', ['4', '-1', 'cat.jpg', ''])
def test_an_image_that_is_not_there_is_an_error(image, config):
    with pytest.raises(ValueError, match='from 0 to 3.*like 000000.png'):
        find_image(load_dataset(config(), 'val'), image)


@pytest.mark.parametrize('split', ['train', 'test'])
def test_a_config_without_the_dataset_is_an_error(split, config):
    with pytest.raises(ValueError, match=f'no {split}_dataloader.dataset'):
        load_dataset(config(), split)


def sample_of(boxes, labels, name, size=(30, 40)):
    return dict(
        inputs=torch.zeros(3, *size, dtype=torch.uint8),
        data_samples=DetDataSample(
            metainfo=dict(img_path=f'/data/{name}'),
            gt_instances=InstanceData(
                bboxes=torch.tensor(boxes).reshape(-1, 4).float(),
                labels=torch.tensor(labels, dtype=torch.int64),
            ),
        ),
    )


SAMPLES = [
    sample_of([[1, 2, 11, 22], [5, 5, 9, 9]], [1, 0], 'two.png'),
    sample_of([[3, 3, 6, 6]], [1], 'one.png', size=(60, 20)),
    sample_of([], [], 'none.png'),
    sample_of([[0, 0, 40, 30]], [0], 'all.png'),
]


def test_each_image_has_its_boxes_and_their_number(axes_of):
    axes = axes_of(draw_samples(SAMPLES))
    titles = [axes[name].get_title() for name in axes if name]
    assert titles == [
        'two.png: 2 objects',
        'one.png: 1 object',
        'none.png: 0 objects',
        'all.png: 1 object',
    ]
    for sample in SAMPLES:
        meta = sample['data_samples']
        panel = axes[meta.img_path.replace('/data/', '')]
        for outlines in panel.collections:
            extents = [path.get_extents() for path in outlines.get_paths()]
            boxes = [box.extents for box in extents]
            expected = meta.gt_instances.bboxes.numpy()
            assert np.array_equal(np.reshape(boxes, (-1, 4)), expected)


def test_names_are_those_of_the_labels(axes_of):
    axes = axes_of(draw_samples(SAMPLES, classes=['cat', 'dog']))
    names = {
        label: [text.get_text() for text in panel.texts]
        for label, panel in axes.items()
        if label
    }
    assert names == {
        'two.png': ['dog', 'cat'],
        'one.png': ['dog'],
        'none.png': [],
        'all.png': ['cat'],
    }
    without = axes_of(draw_samples(SAMPLES))
    assert not any(panel.texts for panel in without.values())


def test_names_do_not_overlap_and_those_left_out_are_counted(axes_of):
    boxes = [[10 * i, 40 + i, 10 * i + 20, 60 + i] for i in range(8)] * 2
    figure = draw_samples(
        [sample_of(boxes, [0] * 16, 'x.png', size=(120, 120))],
        classes=['mediumspringgreen'],
    )
    to_rgb(figure)
    texts = axes_of(figure)['x.png'].texts
    places = [text.get_window_extent() for text in texts]
    assert 0 < len(texts) < 16
    assert not any(a.overlaps(b) for a, b in combinations(places, 2))
    title = axes_of(figure)['x.png'].get_title()
    assert title == f'x.png: 16 objects, {16 - len(texts)} unnamed'


def test_other_images_say_how_they_are_shown(axes_of):
    sample = sample_of([], [], 'x.png')
    sample['inputs'] = torch.full((5, 30, 40), 9, dtype=torch.uint8)
    title = axes_of(draw_samples([sample]))['x.png'].get_title()
    assert title.endswith('bands 3, 2, 1 of 5 as red, green, blue')


@pytest.mark.parametrize('value', [0, 128, 255])
def test_boxes_are_seen_on_any_image(value):
    plain, boxed = (
        sample_of(boxes, [0] * (len(boxes) // 4), 'x.png', size=(90, 90))
        for boxes in ([], [20, 20, 70, 70])
    )
    for sample in (plain, boxed):
        sample['inputs'] += value
        sample['data_samples'].set_metainfo(dict(img_path='x'))
    images = [to_rgb(draw_samples([x])).astype(int) for x in (plain, boxed)]
    # The titles, which differ, are at the top.
    difference = abs(images[0] - images[1])[100:]
    assert difference.max() >= 100


def test_samples_without_ground_truths_are_an_error():
    sample = sample_of([], [], 'x.png')
    del sample['data_samples'].gt_instances
    with pytest.raises(ValueError, match='add LoadAnnotations'):
        draw_samples([sample])
