"""The data of the configs for blood cells, which tests do not have."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS

CONFIGS = Path(__file__).parents[2] / 'configs'
NAMES = sorted(path.stem for path in CONFIGS.glob('bccd*.py'))
SPLITS = ('train', 'val', 'test')


@pytest.fixture
def root(tmp_path):
    """One image with a cell of each class in each split."""
    (tmp_path / 'images').mkdir()
    (tmp_path / 'annotations').mkdir()
    picture = np.full((480, 640, 3), 200, np.uint8)
    cv2.imwrite(str(tmp_path / 'images/a.jpg'), picture)
    cells = dict(
        images=[dict(id=0, file_name='a.jpg', width=640, height=480)],
        annotations=[
            dict(
                id=i,
                image_id=0,
                category_id=i,
                bbox=[100 * i, 100, 80, 90],
                area=7200,
                iscrowd=0,
            )
            for i in (1, 2, 3)
        ],
        categories=[
            dict(id=i, name=name)
            for i, name in enumerate(('RBC', 'WBC', 'Platelets'), 1)
        ],
    )
    for split in SPLITS:
        (tmp_path / f'annotations/{split}.json').write_text(json.dumps(cells))
    return tmp_path


@pytest.mark.parametrize('name', NAMES)
def test_cells_are_read(name, root, load):
    cfg = load(name)
    assert cfg.model.bbox_head.num_classes == 3
    for split in SPLITS:
        config = cfg[f'{split}_dataloader'].dataset
        if split != 'train':
            file = cfg[f'{split}_evaluator'].ann_file
            assert file == config.data_root + config.ann_file
        dataset = DATASETS.build(dict(config, data_root=str(root)))
        sample = dataset[0]['data_samples'].gt_instances
        # A crop of the training may leave out cells.
        assert 1 <= len(sample) <= 3
        if split != 'train':
            assert sample.labels.tolist() == [0, 1, 2]


def test_twins_differ_in_the_matching_only(load):
    for ours, stock in (
        ('bccd_ssd300_uot_cpu', 'bccd_ssd300_two_stage_cpu'),
        ('bccd_deformable_detr_ot_cpu', 'bccd_deformable_detr_hungarian_cpu'),
    ):
        pair = [load(name).to_dict() for name in (ours, stock)]
        assigners = [
            cfg['model']['train_cfg'].pop('assigner')['type'] for cfg in pair
        ]
        assert assigners[1] in ('MaxIoUAssigner', 'HungarianAssigner')
        assert assigners[0] in ('UOTAssigner', 'SinkhornAssigner')
        for cfg in pair:
            for key in [*cfg]:
                if key not in ('model', 'optim_wrapper', 'param_scheduler'):
                    cfg.pop(key)
        assert pair[0] == pair[1]
