"""mmdet's per-image instances as padded batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .ot import may_hold

__all__ = ['drop_non_finite', 'image_sizes', 'pad_boxes', 'pad_labels']


def pad_boxes(instances: Sequence[InstanceData]) -> Tensor:
    """(B, M, 4) ``bboxes`` of all images, zero in the padding."""
    boxes = [get_box_tensor(instance.bboxes) for instance in instances]
    return pad_sequence(boxes, batch_first=True)


def pad_labels(instances: Sequence[InstanceData], num_classes: int) -> Tensor:
    """(B, M) ``labels`` of all images, zero in the padding.

    Raises:
        ValueError: If a label is no class. On a GPU, where nothing waits for
            it, this is a failed device-side assertion.
    """
    labels = [instance.labels for instance in instances]
    padded = pad_sequence(labels, batch_first=True)
    known = ((padded >= 0) & (padded < num_classes)).all()
    try:
        torch._assert_async(known, f'a label is outside [0, {num_classes})')
    except RuntimeError:
        image, label = next(
            (image, label)
            for image, row in enumerate(labels)
            for label in row.tolist()
            if not 0 <= label < num_classes
        )
        raise ValueError(
            f'labels must be in [0, {num_classes}) for num_classes='
            f'{num_classes}, got {label} in image {image} of the batch; '
            'adapt num_classes of the head or the classes of the dataset'
        ) from None
    return padded


def drop_non_finite(pred: Tensor) -> Tensor:
    """Zero, without gradient, in place of numbers that are not finite.

    If all are (a training that has diverged), they stay, so that the loss
    shows it.

    Args:
        pred (Tensor): Predictions of any shape.

    Returns:
        Tensor: Of the same shape.
    """
    if not may_hold(~pred.detach().sum().isfinite()):
        return pred
    finite = pred.isfinite()
    return torch.where(finite | ~finite.any(), pred, 0.0)


def image_sizes(metas: Sequence[dict], like: Tensor) -> Tensor:
    """(B, 1, 4) width, height, width, height in pixels.

    Raises:
        ValueError: If an image has no ``img_shape``.
    """
    if not all('img_shape' in meta for meta in metas):
        raise ValueError(
            'relative boxes need `img_shape` in the meta information '
            '(batch_img_metas) of every image'
        )
    shapes = [meta['img_shape'][:2] for meta in metas]
    return like.new_tensor([[w, h, w, h] for h, w in shapes])[:, None]
