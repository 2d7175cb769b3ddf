"""
DETR: how firmly queries are matched
====================================

Queries move from step to step. How much of the matching moves with them, under
Hungarian matching and under optimal transport?
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from mmdet.registry import TASK_UTILS
from mmengine.config import Config
from mmengine.structures import InstanceData

import mmdet_uot  # noqa: F401, before a config of mmdet_uot is read
from mmdet_uot.visualization.style import save

# %%
# The assigner of a DETR config, and the same with epsilon = 0, which is the
# Hungarian matching.

cfg = Config.fromstring("_base_ = 'mmdet_uot::detr_ot.py'", '.py')
assigner = cfg.model.train_cfg.assigner
matchers = {
    'Hungarian': TASK_UTILS.build(dict(assigner, epsilon=0)),
    'optimal transport': TASK_UTILS.build(assigner),
}
print(cfg.model.bbox_head.type, assigner)

# %%
# 100 queries as they are early in training: all about the middle, with
# scores that say little. Eight objects.

torch.manual_seed(0)
meta = dict(img_shape=(400, 500), ori_shape=(400, 500))
size = torch.tensor([500.0, 400.0, 500.0, 400.0])


def corners(boxes):
    """Boxes cxcywh, relative, as xyxy in pixels."""
    center, extent = boxes.split(2, -1)
    return torch.cat((center - extent / 2, center + extent / 2), -1) * size


queries = torch.rand(100, 4) * 0.3 + torch.tensor([0.35, 0.35, 0.1, 0.1])
scores = torch.randn(100, 21) * 0.1
objects = InstanceData(
    bboxes=corners(
        torch.rand(8, 4) * 0.6 + torch.tensor([0.2, 0.2, 0.1, 0.1])
    ),
    labels=torch.randint(0, 20, (8,)),
)


def match(matcher, boxes):
    """(100, 8) weights of the objects."""
    preds = InstanceData(bboxes=corners(boxes), scores=scores)
    return matcher.match([preds], [objects], [meta]).foreground[0]


# %%
# All queries move by noise. What is drawn is the share of the matched mass
# that goes to another query.

noises = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
figure = Figure(figsize=(9, 3.6), layout='constrained')
axes = figure.subplots()
for name, matcher in matchers.items():
    before = match(matcher, queries)
    moved = []
    for noise in noises:
        shares = []
        for _ in range(20):
            shift = torch.randn(100, 4) * noise / size
            after = match(matcher, queries + shift)
            shares.append((before - after).abs().sum() / 2 / before.sum())
        moved.append(torch.stack(shares).mean().item())
    axes.plot(noises, moved, marker='o', label=name)
    print(name, [round(share, 2) for share in moved])
axes.set(xlabel='noise of the boxes, in pixels', ylabel='share that moves')
axes.set(ylim=(0, None))
axes.legend()
save(figure, Path('work_dirs/gallery/detr.png'))
