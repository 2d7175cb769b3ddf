import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from mmdet_uot.datasets import ColorBoxesDataset
from mmdet_uot.datasets.color_boxes import CLASSES

PIPELINE = [
    {'type': 'LoadImageFromFile'},
    {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
    {'type': 'Resize', 'scale': (300, 300), 'keep_ratio': False},
    {'type': 'PackDetInputs'},
]
SMALL = {'image_size': (160, 140), 'max_objects': 5}


@pytest.fixture(autouse=True)
def default_scope():
    init_default_scope('mmdet')


def build(root, split='train', **kwargs):
    kwargs = {'num_images': {'train': 24, 'val': 12}[split], **SMALL, **kwargs}
    return DATASETS.build(
        {
            'type': 'ColorBoxesDataset',
            'data_root': str(root),
            'split': split,
            **kwargs,
        }
    )


def test_is_made_on_first_use(tmp_path):
    dataset = build(tmp_path / 'new', num_images=4, workers=1)
    assert isinstance(dataset, ColorBoxesDataset)
    assert len(dataset) == 4
    assert dataset.metainfo['classes'] == CLASSES
    assert len(dataset.metainfo['palette']) == 20


def test_goes_through_the_pipeline(small_root):
    dataset = build(small_root, pipeline=PIPELINE)
    numbers = []
    for index in range(len(dataset)):
        item = dataset[index]
        truth = item['data_samples'].gt_instances
        boxes = truth.bboxes.tensor.numpy()
        assert item['inputs'].shape == (3, 300, 300)
        assert boxes.shape == (len(truth.labels), 4)
        assert len(truth.masks) == len(truth.labels)
        raw = dataset.get_data_info(index)['instances']
        scale = np.array([300 / 160, 300 / 140] * 2)
        expected = [np.multiply(obj['bbox'], scale) for obj in raw]
        np.testing.assert_allclose(
            boxes, np.reshape(expected, (-1, 4)), atol=1e-3
        )
        numbers.append(len(boxes))
    assert min(numbers) == 0 and max(numbers) == 5


def test_images_without_objects_are_kept_unless_filtered(small_root):
    dataset = build(small_root)
    objects = [dataset.get_data_info(i)['instances'] for i in range(24)]
    filtered = build(small_root, filter_cfg={'filter_empty_gt': True})
    assert len(dataset) == 24
    assert len(filtered) == sum(map(bool, objects)) < 24


def test_lazy_init_touches_no_file(tmp_path):
    dataset = build(tmp_path / 'new', lazy_init=True, num_images=2)
    assert dataset.metainfo['classes'] == CLASSES
    assert not (tmp_path / 'new').exists()
    dataset.full_init()
    assert len(dataset) == 2


def test_indices_take_the_first_images(small_root):
    dataset = build(small_root, indices=5)
    paths = [dataset.get_data_info(index)['img_path'] for index in range(5)]
    assert len(dataset) == 5
    assert paths == [f'{small_root}/train/{i:06d}.png' for i in range(5)]


def test_fewer_classes(small_root):
    dataset = build(small_root, metainfo={'classes': ('black', 'yellow')})
    labels = {
        obj['bbox_label']
        for index in range(24)
        for obj in dataset.get_data_info(index)['instances']
    }
    assert labels <= {0, 1}


@pytest.mark.parametrize(
    ('kwargs', 'error', 'message'),
    [
        ({'ann_file': 'a.json'}, TypeError, "ann_file='a.json' was given"),
        ({'data_prefix': {}}, TypeError, 'data_prefix={} was given'),
        ({'split': 'test', 'num_images': 2}, ValueError, "got 'test'"),
        ({'max_iou': 2}, ValueError, 'max_iou must be in'),
        ({'noise': 0.1}, TypeError, 'noise'),
        (
            {'num_images': 23},
            ValueError,
            'num_images=24, but is asked for with',
        ),
    ],
)
def test_wrong_arguments_are_named(small_root, kwargs, error, message):
    kwargs = {'split': 'train', 'num_images': 24, **SMALL, **kwargs}
    with pytest.raises(error, match=message):
        ColorBoxesDataset(data_root=str(small_root), **kwargs)


def test_missing_set_that_may_not_be_made(tmp_path):
    with pytest.raises(FileNotFoundError, match='make_color_boxes.py'):
        build(tmp_path / 'new', generate=False)


class Oracle(BaseModel):
    """Predicts the ground truth."""

    def forward(self, inputs, data_samples, mode):
        for sample in data_samples:
            truth = sample.gt_instances
            sample.pred_instances = InstanceData(
                bboxes=truth.bboxes.tensor,
                labels=truth.labels,
                scores=truth.bboxes.tensor.new_ones(len(truth)),
            )
        return data_samples


def test_a_runner_makes_the_set_before_the_metric_reads_it(tmp_path):
    root = tmp_path / 'new'
    runner = Runner(
        model=Oracle(),
        work_dir=str(tmp_path / 'work'),
        val_dataloader={
            'batch_size': 2,
            'num_workers': 0,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'collate_fn': {'type': 'pseudo_collate'},
            'dataset': {
                'type': 'ColorBoxesDataset',
                'data_root': str(root),
                'split': 'val',
                'num_images': 12,
                'pipeline': [PIPELINE[0], PIPELINE[1], PIPELINE[3]],
                'test_mode': True,
                **SMALL,
            },
        },
        val_evaluator={
            'type': 'CocoMetric',
            'ann_file': f'{root}/annotations/val.json',
        },
        val_cfg={},
        default_scope='mmdet',
        experiment_name='color_boxes_oracle',
    )
    assert runner.val()['coco/bbox_mAP'] == 1.0
