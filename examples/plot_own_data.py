"""
SSD on your own data
====================

From images and a COCO file to a training. :doc:`Your own data
</docs/own_data>` goes on to a detector of blood cells.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner

import mmdet_uot  # noqa: F401, before a config of mmdet_uot is read
from mmdet_uot.visualization import draw_curves, read_log
from mmdet_uot.visualization.style import save

# %%
# Your data: a folder of images, and boxes as ``[x, y, width, height]``.

folder = Path('work_dirs/gallery/own_data')
folder.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(0)
images, annotations = [], []
for i in range(16):
    picture = np.full((300, 300, 3), 90, np.uint8)
    for category in (1, 2):
        x, y, w, h = (*rng.integers(0, 180, 2), *rng.integers(40, 110, 2))
        picture[y : y + h, x : x + w] = (40, 90, 220)[:: 3 - 2 * category]
        annotations.append(
            dict(
                id=len(annotations) + 1,
                image_id=i,
                category_id=category,
                bbox=[int(x), int(y), int(w), int(h)],
                area=int(w * h),
                iscrowd=0,
            )
        )
    cv2.imwrite(str(folder / f'{i}.png'), picture)
    images.append(dict(id=i, file_name=f'{i}.png', width=300, height=300))
categories = [dict(id=1, name='bolt'), dict(id=2, name='nut')]
(folder / 'train.json').write_text(
    json.dumps(
        dict(images=images, annotations=annotations, categories=categories)
    )
)

# %%
# The config: that of SSD300 on a CPU, with your classes and your files.

CONFIG = f"""
_base_ = 'mmdet_uot::ssd300_uot_cpu.py'
model = dict(bbox_head=dict(num_classes=2))
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type='CocoDataset',
        metainfo=dict(classes=('bolt', 'nut')),
        ann_file='{folder}/train.json',
        data_prefix=dict(img='{folder}/'),
        pipeline=_base_.train_pipeline,
    ),
)
val_dataloader = val_evaluator = val_cfg = None
train_cfg = dict(max_epochs=5)
param_scheduler = []
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=1000)
)
work_dir = '{folder}/work_dir'
log_level = 'WARNING'
randomness = dict(seed=0)
"""

# %%
# ``tools/train.py`` does the same from a file, with ``--resume`` and all.

Runner.from_cfg(Config.fromstring(CONFIG, '.py')).train()
figure = draw_curves({'SSD300': read_log(folder / 'work_dir')})
save(figure, Path('work_dirs/gallery/own_data.png'))
