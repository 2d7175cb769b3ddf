"""mmdet's per-image instances as padded batches."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

__all__ = ['image_sizes', 'pad_boxes', 'pad_labels']


def pad_boxes(instances: Sequence[InstanceData]) -> Tensor:
    """(B, M, 4) ``bboxes`` of all images, zero in the padding."""
    boxes = [get_box_tensor(instance.bboxes) for instance in instances]
    return pad_sequence(boxes, batch_first=True)


def pad_labels(instances: Sequence[InstanceData]) -> Tensor:
    """(B, M) ``labels`` of all images, zero in the padding."""
    labels = [instance.labels for instance in instances]
    return pad_sequence(labels, batch_first=True)


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
