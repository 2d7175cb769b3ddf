"""mmdet's instances, image by image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

__all__ = [
    'check_instances',
    'fields',
    'image_names',
    'plain',
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


def check_ignored(
    ignored: Sequence[InstanceData | None], num_images: int
) -> Sequence[InstanceData | None]:
    """Raises unless there is an entry, InstanceData or None, per image."""
    name = 'batch_gt_instances_ignore'
    check_instances(name, [entry for entry in ignored if entry is not None])
    if len(ignored) != num_images:
        raise ValueError(
            f'{name} must have one entry per image ({num_images}), got '
            f'{len(ignored)}'
        )
    return ignored


def check_lengths(
    preds: Sequence[InstanceData],
    gts: Sequence[InstanceData],
    metas: Sequence[dict],
) -> None:
    """Raises ValueError unless each has an entry per image."""
    if not len(preds) == len(gts) == len(metas) > 0:
        raise ValueError(
            'batch_pred_instances, batch_gt_instances and batch_img_metas '
            'must have one entry per image, got '
            f'{len(preds)}, {len(gts)} and {len(metas)}'
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
    for instance, value in zip(instances, values):
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


def plain(instances: InstanceData) -> InstanceData:
    """Box tensors instead of box objects; numbers are at least float32."""
    result = InstanceData(metainfo=instances.metainfo)
    for name, value in instances.items():
        numbers = name in ('bboxes', 'priors', 'scores')
        if numbers:
            value = get_box_tensor(value)
        if isinstance(value, Tensor):
            numbers = numbers or value.is_floating_point()
            value = widen(value) if numbers else value
        result.set_field(value, name)
    return result


def image_names(metas: Sequence[dict]) -> list[str]:
    """The paths of images, or their numbers where those are not known."""
    return [
        meta.get('img_path') or f'image {image} of the batch'
        for image, meta in enumerate(metas)
    ]
