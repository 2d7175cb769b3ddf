"""
torchvision's RetinaNet
=======================

RetinaNet of ``torchvision`` with a plan in its loss, beside its own matcher,
without MMDetection.
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import box_iou, sigmoid_focal_loss

from mmdet_uot.ot import MatchingProblem, scale_epsilon, sinkhorn

# %%
# ``compute_loss`` of RetinaNet matches anchors and computes the losses. This
# one asks for a plan: unbalanced transport with 1 - IoU as cost, the settings
# of the paper for SSD. What an anchor gives to a class is the target of its
# positive part, the rest that of its negative part.


def compute_loss(targets, head_outputs, anchors):
    """Focal and L1 loss of RetinaNet, weighted by a transport plan."""
    costs = [
        1 - box_iou(own, target['boxes'])
        for own, target in zip(anchors, targets)
    ]
    plan = sinkhorn(
        MatchingProblem.from_costs(costs, background_cost=0.6),
        epsilon=scale_epsilon(len(anchors[0])),
        tau1=100.0,
        tau2=0.01,
    )
    logits, deltas = (
        head_outputs['cls_logits'],
        head_outputs['bbox_regression'],
    )
    average = plan.foreground_mass.sum().clamp(min=1)
    labels = pad_sequence([t['labels'] for t in targets], batch_first=True)
    mass = plan.grouped(labels, logits.shape[-1])
    rest = plan.pred_marginal.unsqueeze(2) - mass
    ones, zeros = torch.ones_like(logits), torch.zeros_like(logits)
    focal = mass * sigmoid_focal_loss(logits, ones)
    focal += rest * sigmoid_focal_loss(logits, zeros)
    image, anchor, gt, weight = plan.pairs(min_mass=0.01)
    boxes = pad_sequence([t['boxes'] for t in targets], batch_first=True)
    wanted = plan_model.box_coder.encode_single(
        boxes[image, gt], torch.stack(anchors)[image, anchor]
    )
    distance = (deltas[image, anchor] - wanted).abs().sum(1)
    return dict(
        classification=focal.sum() / average,
        bbox_regression=(weight * distance).sum() / average,
    )


# %%
# Two small models with the same weights, and images with a red and a blue
# rectangle.


def retinanet():
    """A RetinaNet on one feature map of stride 8."""
    torch.manual_seed(0)
    layers = []
    for inputs, outputs in ((3, 16), (16, 32), (32, 64)):
        layers += [
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    backbone = nn.Sequential(*layers)
    backbone.out_channels = 64
    return RetinaNet(
        backbone,
        num_classes=2,
        anchor_generator=AnchorGenerator(((24, 36, 54),), ((0.5, 1.0, 2.0),)),
        min_size=128,
        max_size=128,
    ).train()


stock_model, plan_model = retinanet(), retinanet()
plan_model.compute_loss = compute_loss

images, targets = [], []
for _ in range(8):
    image = torch.full((3, 128, 128), 0.5)
    corner, size = torch.randint(0, 60, (2, 2)), torch.randint(30, 60, (2, 2))
    boxes = torch.cat((corner, corner + size), 1)
    for channel, (x1, y1, x2, y2) in zip((0, 2), boxes.tolist()):
        image[:, y1:y2, x1:x2] = 0.0
        image[channel, y1:y2, x1:x2] = 1.0
    images.append(image)
    targets.append(dict(boxes=boxes.float(), labels=torch.arange(2)))

# %%
# Both learn these images. The losses are not on one scale: an object has as
# many anchors as its matching gives it.

figure = Figure(figsize=(9, 3.2), layout='constrained')
panels = figure.subplots(1, 2, sharey=True)
for panel, (name, model) in zip(
    panels,
    {'its own matcher': stock_model, 'a transport plan': plan_model}.items(),
):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(60):
        parts = model(images, targets)
        loss = sum(parts.values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    panel.plot(losses)
    panel.set(title=name, xlabel='step', ylim=(0, None))
    print(f'{name}: loss {losses[0]:.2f} to {losses[-1]:.2f}')
panels[0].set_ylabel('loss')
folder = Path('work_dirs/gallery')
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / 'torchvision_retinanet.png')
