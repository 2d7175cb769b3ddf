"""The data of every config that names Color Boxes."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS

CONFIGS = Path(__file__).parents[2] / 'configs'
NAMES = sorted(
    path.stem
    for path in CONFIGS.glob('*.py')
    if not path.stem.endswith('_coco') and not path.stem.startswith('bccd')
)


def image_shape(name, split):
    """Height and width of what goes into the model; None where random."""
    if name.startswith('ssd'):
        side = int(name[3:6])
        return (side, side)
    if name.endswith('_cpu'):
        return (200, 250) if 'detr' in name else (300, 300)
    return None if split == 'train' else (800, 1000)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.slow
def test_datasets_build(name, tmp_path, load):
    cfg = load(name)
    for split, count in (('train', 4), ('val', 2)):
        config = cfg[f'{split}_dataloader'].dataset
        lazy = DATASETS.build(dict(config, lazy_init=True))
        if split == 'val':
            assert cfg.val_evaluator.ann_file == lazy.ann_file
            assert cfg.test_evaluator == cfg.val_evaluator
            assert cfg.test_dataloader == cfg.val_dataloader
        config = dict(config, data_root=str(tmp_path), num_images=count)
        dataset = DATASETS.build(config)
        assert len(dataset) == count
        classes = dataset.metainfo['classes']
        if 'panoptic_head' in cfg.model:
            assert len(classes) == cfg.model.panoptic_head.num_things_classes
        else:
            head = cfg.model.get('roi_head', cfg.model).bbox_head
            assert len(classes) == head.num_classes
        item = dataset[0]
        sample = item['data_samples']
        shape = image_shape(name, split) or sample.img_shape
        assert item['inputs'].shape == (3, *shape)
        assert item['inputs'].dtype == torch.uint8
        assert sample.img_shape == shape
        boxes = sample.gt_instances.bboxes.tensor
        # Evaluation is in the coordinates of the original image.
        assert (boxes >= 0).all()
        assert (boxes <= (max(shape) if split == 'train' else 500)).all()
        assert (sample.gt_instances.labels < 20).all()
