"""mmdet's per-image instances as padded batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..ot import to_device

__all__ = [
    'check_instances',
    'fields',
    'image_sizes',
    'pad_boxes',
    'pad_labels',
    'widen',
]


def check_instances(argument: str, instances: Sequence[InstanceData]) -> None:
    """Raises TypeError unless there is a sequence of InstanceData."""
    kind = type(instances).__name__
    if isinstance(instances, Sequence):
        strangers = [x for x in instances if not isinstance(x, InstanceData)]
        if not strangers:
            return
        kind += f' that holds {type(strangers[0]).__name__}'
    raise TypeError(
        f'{argument} must be a sequence of InstanceData, one per image, got '
        f'{kind}; for one image pass [instances]'
    )


def fields(
    instances: Sequence[InstanceData],
    name: str,
    shape: tuple[int, ...] | None = None,
    argument: str = 'batch_gt_instances',
) -> list[Tensor]:
    """A field of all images; the tensors of box objects.

    Args:
        instances (Sequence[InstanceData]): Per image.
        name (str): Name of the field.
        shape (tuple[int, ...], optional): Of what it has for an instance.
            Defaults to any number of columns, the same in all images.
        argument (str): What the instances are called, for the message.

    Returns:
        list[Tensor]: Per image, (n, *shape).

    Raises:
        ValueError: If an image has no such field, or one of another shape.
    """
    values = [get_box_tensor(instance.get(name)) for instance in instances]
    for instance, value in zip(instances, values, strict=True):
        if not isinstance(value, Tensor):
            raise ValueError(
                f'`{name}` of {argument} must be a tensor, got '
                f'{type(value).__name__}; there are '
                f'{sorted(instance.keys())}. Give it, or leave what needs it '
                'out of match_costs'
            )
        if shape is None:
            shape = tuple(value.shape[-1:])
        if tuple(value.shape[1:]) != shape:
            wanted = ', '.join(map(str, ('n', *shape)))
            raise ValueError(
                f'`{name}` of {argument} must have the shape ({wanted}), got '
                f'{tuple(value.shape)}'
            )
    return values


def widen(tensor: Tensor) -> Tensor:
    """At least float32, and without gradient."""
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    return tensor.detach().to(dtype)


def pad_boxes(instances: Sequence[InstanceData]) -> Tensor:
    """(B, M, 4) ``bboxes`` of all images, zero in the padding."""
    boxes = [widen(boxes) for boxes in fields(instances, 'bboxes', (4,))]
    return pad_sequence(boxes, batch_first=True)


def pad_labels(
    instances: Sequence[InstanceData],
    num_classes: int,
    names: Sequence[str],
) -> Tensor:
    """(B, M) ``labels`` of all images, zero in the padding.

    Args:
        instances (Sequence[InstanceData]): Per image.
        num_classes (int): Number of classes.
        names (Sequence[str]): Names of the images, for the message.

    Returns:
        Tensor: int64.

    Raises:
        ValueError: If a label is no class. On a GPU, where nothing waits for
            it, this is a failed device-side assertion.
    """
    labels = [labels.long() for labels in fields(instances, 'labels', ())]
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
            f'{num_classes}, got {label} in {names[image]}; '
            'adapt num_classes of the head or the classes of the dataset'
        ) from None
    return padded


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
    sizes = [[w, h, w, h] for h, w in shapes]
    return to_device(sizes, like.device, like.dtype)[:, None]
