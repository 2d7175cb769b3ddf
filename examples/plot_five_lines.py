"""
The five-line change
====================

mmdet's SSD300 and the same with five lines more: what its 8,732 anchors are
matched to, drawn for both.
"""

from pathlib import Path

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData

import mmdet_uot  # noqa: F401, before a config of mmdet_uot is read
from mmdet_uot.matched_images.detector import build_detector
from mmdet_uot.matched_images.record import record_matching
from mmdet_uot.visualization import draw_matchers
from mmdet_uot.visualization.style import save

# %%
# The five lines name a head and an assigner. ``_delete_`` drops the options
# of ``MaxIoUAssigner``.

STOCK = "_base_ = 'mmdet::ssd/ssd300_coco.py'"
OURS = f"""
{STOCK}
custom_imports = dict(imports=['mmdet_uot'])
model = dict(
    bbox_head=dict(type='UOTSSDHead'),
    train_cfg=dict(assigner=dict(_delete_=True, type='UOTAssigner')),
)
"""

# %%
# An image with three objects.

boxes = [[20, 30, 110, 130], [150, 60, 270, 140], [30, 170, 130, 280]]
image = np.full((300, 300, 3), 235, np.uint8)
for shade, (x1, y1, x2, y2) in enumerate(boxes):
    image[y1:y2, x1:x2] = 120 + 40 * shade
objects = InstanceData(
    bboxes=torch.tensor(boxes).float(), labels=torch.arange(len(boxes))
)
sample = dict(
    inputs=torch.from_numpy(image).permute(2, 0, 1),
    data_samples=DetDataSample(
        gt_instances=objects, metainfo=dict(img_shape=(300, 300))
    ),
)

# %%
# ``record_matching`` computes the losses as a training does, and notes what
# is matched. A line is as wide as the mass of its pair.

MMLogger.get_instance('gallery', log_level='WARNING')
matched = {}
for name, text in (('MaxIoUAssigner', STOCK), ('UOTAssigner', OURS)):
    cfg = Config.fromstring(text, '.py')
    cfg.model.backbone.init_cfg = None  # no download
    detector = build_detector(cfg)
    detector.init_weights()
    matched[name] = record_matching(detector, sample)
    received = matched[name].weights[:, :-1].sum(0)
    print(f'{name}: the objects get {received.round(1)} anchors')

figure = draw_matchers(matched, title="SSD300's anchors, five lines apart")
save(figure, Path('work_dirs/gallery/five_lines.png'))
