"""
Hugging Face's Conditional DETR
===============================

The solver needs torch alone. Here it trains a model of ``transformers``,
without MMDetection: costs, plan, weighted losses.
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch.nn.functional import one_hot
from transformers import (
    ConditionalDetrConfig,
    ConditionalDetrForObjectDetection,
    ResNetConfig,
)
from transformers.image_transforms import center_to_corners_format
from transformers.loss.loss_for_object_detection import generalized_box_iou

from mmdet_uot.ot import MatchingProblem, scale_epsilon, sinkhorn

QUERIES, CLASSES = 20, 2
torch.manual_seed(0)

# %%
# Images with one object of each class: a red and a blue rectangle. Boxes are
# those of DETR: centre and size, relative to the image.

centers, sizes = torch.rand(8, 2, 2) * 0.5 + 0.25, torch.rand(8, 2, 2) * 0.2
boxes = torch.cat((centers, sizes + 0.2), 2)
labels = torch.arange(CLASSES).expand(8, -1)
images = torch.full((8, 3, 96, 96), 0.5)
corners = (center_to_corners_format(boxes).clamp(0, 1) * 96).int().tolist()
for image, rectangles in zip(images, corners):
    for channel, (x1, y1, x2, y2) in zip((0, 2), rectangles):
        image[:, y1:y2, x1:x2] = 0.0
        image[channel, y1:y2, x1:x2] = 1.0

# %%
# A small model. Its queries begin far apart, as in the paper of DETR.

model = ConditionalDetrForObjectDetection(
    ConditionalDetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=ResNetConfig(
            embedding_size=16,
            hidden_sizes=[16, 32, 64, 64],
            depths=[1, 1, 1, 1],
            layer_type='basic',
            out_features=['stage3'],
        ),
        d_model=64,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        num_queries=QUERIES,
        num_labels=CLASSES + 1,  # the last is the background
        dropout=0.0,
    )
)
torch.nn.init.normal_(model.model.query_position_embeddings.weight)


# %%
# The costs of DETR, each at least 0: 1 - probability, L1, 1 - GIoU. Half of
# the greatest sum is what the background costs.


def match(logits, predicted):
    """Balanced transport from queries to objects, all images at once."""
    costs = []
    for b in range(len(images)):
        probability = logits[b].softmax(-1)[:, labels[b]]
        giou = generalized_box_iou(
            center_to_corners_format(predicted[b]),
            center_to_corners_format(boxes[b]),
        )
        l1 = torch.cdist(predicted[b], boxes[b], p=1)
        costs.append(2 * (1 - probability) + 5 * l1 + 2 * (1 - giou))
    problem = MatchingProblem.from_costs(costs, background_cost=5.0)
    return sinkhorn(problem, epsilon=10 * scale_epsilon(QUERIES))


# %%
# The losses of DETR, each pair weighted by its mass. The class loss is linear
# in its target, so that the weights of a row are its target.

background = one_hot(torch.tensor(CLASSES), CLASSES + 1)
columns = torch.cat(
    (one_hot(labels, CLASSES + 1), background.expand(8, 1, -1)), 1
).float()
class_weight = torch.tensor([1.0, 1.0, 0.1])
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
losses = []
for _ in range(120):
    output = model(images)
    logits, predicted = output.logits, output.pred_boxes
    with torch.no_grad():
        plan = match(logits, predicted)
    target = plan.weights @ columns * class_weight
    loss_class = -(target * logits.log_softmax(-1)).sum() / target.sum()
    image, query, gt, mass = plan.pairs(min_mass=0.01)
    distance = (predicted[image, query] - boxes[image, gt]).abs().sum(1)
    loss = loss_class + 5 * (mass * distance).sum() / mass.sum()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    losses.append(loss.item())

# %%
# What was learned: the loss, and the two best queries of an image.

figure = Figure(figsize=(9, 3.6), layout='constrained')
curve, picture = figure.subplots(1, 2)
curve.plot(losses)
curve.set(xlabel='step', ylabel='loss', ylim=(0, None))
picture.imshow(images[0].permute(1, 2, 0), extent=(0, 1, 1, 0))
best = logits[0].softmax(-1)[:, :CLASSES].max(0).indices
for color, query in zip(('darkred', 'darkblue'), best):
    x, y, w, h = predicted[0, query].tolist()
    picture.add_patch(
        Rectangle((x - w / 2, y - h / 2), w, h, ec=color, fill=False)
    )
picture.set_axis_off()
folder = Path('work_dirs/gallery')
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / 'hugging_face_detr.png')
