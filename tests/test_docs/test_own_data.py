"""The files of docs/own_data.md, on a data set of a few drawn images."""

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.tools import load_tool
from mmdet.registry import DATASETS, METRICS
from mmengine.config import Config
from mmengine.registry import DefaultScope

import mmdet_uot  # noqa: F401, a config begins with mmdet_uot::

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / 'docs/own_data.md').read_text()
# A file stands in a block of its own after the sentence that names it.
FILES = dict(re.findall(r'`(\w+\.py)`:\n\n```python\n(.*?)```', TEXT, re.S))
OTHER_CONFIGS = re.findall(r"^ *(sed '.*)", TEXT, re.M)

CLASSES = ('RBC', 'WBC', 'Platelets')
WIDTH, HEIGHT = 160, 120
# Class, xmin, ymin, xmax, ymax; the last box has no area.
BOXES = [
    ('WBC', 4, 4, 64, 54),
    ('RBC', 80, 10, 110, 40),
    ('RBC', 100, 60, 140, 100),
    ('Platelets', 20, 80, 36, 96),
    ('RBC', 70, 70, 70, 70),
]
SPLITS = dict(train=4, val=2, test=1)


def as_xml(boxes):
    corners = ('xmin', 'ymin', 'xmax', 'ymax')
    objects = []
    for name, *box in boxes:
        sides = ''.join(
            f'<{corner}>{value}</{corner}>'
            for corner, value in zip(corners, box)
        )
        objects.append(
            f'<object><name>{name}</name><difficult>0</difficult>'
            f'<bndbox>{sides}</bndbox></object>'
        )
    return (
        f'<annotation><size><width>{WIDTH}</width><height>{HEIGHT}</height>'
        f'</size>{"".join(objects)}</annotation>'
    )


def write_voc(folder):
    """A folder like that of BCCD, with bright boxes on grey images."""
    for name in ('Annotations', 'ImageSets/Main', 'JPEGImages'):
        (folder / name).mkdir(parents=True)
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for shade, (_, x1, y1, x2, y2) in enumerate(BOXES):
        image[y1:y2, x1:x2] = 150 + 20 * shade
    for split, count in SPLITS.items():
        names = [f'{split}_{i}' for i in range(count)]
        (folder / f'ImageSets/Main/{split}.txt').write_text('\n'.join(names))
        for name in names:
            (folder / f'Annotations/{name}.xml').write_text(as_xml(BOXES))
            cv2.imwrite(str(folder / f'JPEGImages/{name}.jpg'), image)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The reader's folder after the first steps of the tutorial."""
    folder = tmp_path_factory.mktemp('bccd')
    voc = folder / 'BCCD_Dataset/BCCD'
    write_voc(voc)
    data = folder / 'data/bccd'
    data.mkdir(parents=True)
    (voc / 'JPEGImages').rename(data / 'images')
    for name, text in FILES.items():
        (folder / name).write_text(text)
    for command in OTHER_CONFIGS:
        subprocess.run(command, shell=True, check=True, cwd=folder)
    subprocess.run(
        [sys.executable, 'voc_to_coco.py', voc, data / 'annotations'],
        check=True,
        cwd=folder,
    )
    return folder


@pytest.fixture(autouse=True)
def there(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def load_dataset(split):
    cfg = Config.fromfile('bccd.py')
    return DATASETS.build(cfg[f'{split}_dataloader'].dataset)


def test_the_conversion_keeps_every_box():
    for split, count in SPLITS.items():
        file = Path(f'data/bccd/annotations/{split}.json')
        coco = json.loads(file.read_text())
        names = {c['id']: c['name'] for c in coco['categories']}
        assert tuple(names.values()) == CLASSES
        assert len(coco['images']) == count
        for image in coco['images']:
            assert (image['width'], image['height']) == (WIDTH, HEIGHT)
            boxes = [
                (names[a['category_id']], *a['bbox'])
                for a in coco['annotations']
                if a['image_id'] == image['id']
            ]
            assert boxes == [
                (name, x1, y1, x2 - x1, y2 - y1)
                for name, x1, y1, x2, y2 in BOXES
            ]


def test_the_detector_trains_on_the_boxes_that_have_an_area():
    dataset = load_dataset('train')
    assert len(dataset) == SPLITS['train']
    used = [
        (CLASSES[box['bbox_label']], *box['bbox'])
        for box in dataset.get_data_info(0)['instances']
    ]
    assert used == BOXES[:-1]


def test_a_box_without_area_counts_as_missed():
    cfg = Config.fromfile('bccd.py')
    metric = METRICS.build(dict(cfg.val_evaluator, metric_items=['AR@100']))
    dataset = load_dataset('val')
    metric.dataset_meta = dataset.metainfo
    for info in map(dataset.get_data_info, range(len(dataset))):
        boxes = info['instances']
        found = dict(
            bboxes=torch.tensor([box['bbox'] for box in boxes]),
            labels=torch.tensor([box['bbox_label'] for box in boxes]),
            scores=torch.ones(len(boxes)),
        )
        sample = dict(
            img_id=info['img_id'],
            ori_shape=(HEIGHT, WIDTH),
            pred_instances=found,
        )
        metric.process({}, [sample])
    # Two of three red cells, all others.
    recall = metric.evaluate(len(dataset))['coco/bbox_AR@100']
    assert recall == pytest.approx((2 / 3 + 1 + 1) / 3, abs=5e-4)


def test_the_two_configs_differ_in_the_assigner_only():
    ours, other = (
        Config.fromfile(f'{name}.py').to_dict()
        for name in ('bccd', 'bccd_two_stage')
    )
    types = [
        cfg['model']['train_cfg'].pop('assigner')['type']
        for cfg in (ours, other)
    ]
    assert types == ['UOTAssigner', 'MaxIoUAssigner']
    assert ours == other


def test_the_larger_model_has_weights_to_start_from():
    ours, larger = map(Config.fromfile, ('bccd.py', 'bccd_vgg.py'))
    assert larger.model.backbone.type == 'SSDVGG'
    assert larger.pretrained.checkpoint == 'open-mmlab://vgg16_caffe'
    assert larger.model.bbox_head.num_classes == len(CLASSES)
    assert larger.train_dataloader.dataset == ours.train_dataloader.dataset


def test_the_schedule_ends_with_the_training():
    cfg = Config.fromfile('bccd.py')
    warm_up, decay = cfg.param_scheduler
    assert decay.T_max == cfg.train_cfg.max_epochs
    assert cfg.train_cfg.max_epochs % cfg.train_cfg.val_interval == 0


@pytest.mark.parametrize('name', ['bccd', 'bccd_two_stage'])
@pytest.mark.slow
def test_the_configs_train_and_evaluate(name, tmp_path):
    load_tool('train').main(
        [
            f'{name}.py',
            f'--work-dir={tmp_path}',
            '--cfg-options',
            'train_cfg.max_epochs=1',
            'train_cfg.val_interval=1',
            'train_dataloader.batch_size=4',
            # One of each name in a process, which keeps its work dir.
            f'visualizer.name={name}',
            *(
                f'{split}_dataloader.{option}'
                for split in ('train', 'val')
                for option in ('num_workers=0', 'persistent_workers=False')
            ),
        ]
    )
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    training, evaluation = map(json.loads, log.read_text().splitlines())
    assert 0 < training['loss'] < float('inf')
    assert 0 <= evaluation['coco/bbox_mAP'] <= 1
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    means = [s['exp_avg'] for s in saved['optimizer']['state'].values()]
    assert all(mean.isfinite().all() for mean in means)
    # The gradient reaches the first layer.
    assert means[0].shape == saved['state_dict']['backbone.conv1.weight'].shape
    assert means[0].any()


def test_the_check_counts_what_is_used(capsys):
    config, fewer = 'bccd.py', 'train_dataloader.batch_size=4'
    load_tool('check_data').main([config, '--cfg-options', fewer])
    printed = capsys.readouterr().out
    for split, count in SPLITS.items():
        assert f'{split}: {count} images, {5 * count} boxes' in printed
        assert f'({count}): {split}_0.jpg (annotation 5)' in printed
        for name, used, there in (
            ('RBC', 2, 3),
            ('WBC', 1, 1),
            ('Platelets', 1, 1),
        ):
            assert f'{name}: {used * count} of {there * count} bo' in printed


@pytest.mark.parametrize(
    'classes', ["('WBC', 'RBC', 'Platelets')", "('rbc', 'WBC', 'Platelets')"]
)
def test_the_check_finds_wrong_classes(classes, capsys):
    wrong = FILES['bccd.py'].replace(str(CLASSES), classes)
    assert wrong != FILES['bccd.py']
    Path('wrong.py').write_text(wrong)
    with pytest.raises(SystemExit, match='3 kinds of errors'):
        load_tool('check_data').main(['wrong.py'])
    printed = capsys.readouterr().out
    assert ("'rbc'" in printed) == ('rbc' in classes)
