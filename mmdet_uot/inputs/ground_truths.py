"""The ground truths of a batch, checked and padded once."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import cached_property
from typing import Any, Sequence, overload

import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..ot import to_device, valid_mask
from .bad_numbers import is_good, is_good_box
from .instances import (
    check_ignored,
    check_instances,
    fields,
    image_names,
    plain,
    widen,
)

__all__ = ['IGNORED', 'GroundTruths']

# Where the meta information of an image holds its ignored boxes.
IGNORED = 'gt_instances_ignore'


class GroundTruths(Sequence[InstanceData]):
    """The ground truths of a batch, as matching and loss need them.

    A sequence of the instances as they were given. What is padded is made
    when it is first asked for, and then kept: (B, M, ...) of B images with at
    most M ground truths.

    Args:
        instances (Sequence[InstanceData]): Per image, ``bboxes`` (m, 4) xyxy,
            ``labels`` (m,), ``masks``.
        metas (Sequence[dict]): Per image.
        device (torch.device): Where the predictions are.
        ignored (Sequence[InstanceData | None], optional): Per image,
            ``bboxes`` that are ignored. Defaults to what the metas hold.
        names (Sequence[str], optional): Of the images, for messages. Defaults
            to their paths or numbers.

    Raises:
        TypeError: If a sequence does not hold instances.
        ValueError: If the sequences are of different lengths.
    """

    def __init__(
        self,
        instances: Sequence[InstanceData],
        metas: Sequence[dict],
        device: torch.device,
        *,
        ignored: Sequence[InstanceData | None] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        check_instances('batch_gt_instances', instances)
        if len(instances) != len(metas):
            raise ValueError(
                'batch_gt_instances and batch_img_metas must have one entry '
                f'per image, got {len(instances)} and {len(metas)}'
            )
        self.instances = instances
        self.metas = [meta or {} for meta in metas]
        self.device = device
        if ignored is None:
            ignored = [meta.get(IGNORED) for meta in self.metas]
        self.ignored = check_ignored(ignored, len(instances))
        self.names = image_names(self.metas) if names is None else names
        self.counts = [len(instance) for instance in instances]
        self._num_classes: float = torch.inf

    @classmethod
    def of(
        cls,
        instances: Sequence[InstanceData],
        metas: Sequence[dict],
        device: torch.device,
    ) -> GroundTruths:
        """Prepares instances, unless they are prepared already.

        Args:
            instances (Sequence[InstanceData]): Per image. Ground truths that
                are prepared have metas of their own.
            metas (Sequence[dict]): Per image.
            device (torch.device): Where the predictions are.

        Returns:
            GroundTruths: Of all images.
        """
        if isinstance(instances, cls):
            return instances
        return cls(instances, metas, device)

    def __len__(self) -> int:
        return len(self.instances)

    @overload
    def __getitem__(self, image: int) -> InstanceData: ...

    @overload
    def __getitem__(self, image: slice) -> Sequence[InstanceData]: ...

    def __getitem__(
        self, image: int | slice
    ) -> InstanceData | Sequence[InstanceData]:
        return self.instances[image]

    def __deepcopy__(self, memo: dict[int, Any]) -> GroundTruths:
        # Copies are made to be changed: nothing that is padded goes along.
        return GroundTruths(
            [deepcopy(instance, memo) for instance in self.instances],
            self.metas,
            self.device,
            ignored=self.ignored,
            names=self.names,
        )

    def select(self, images: Sequence[int]) -> GroundTruths:
        """The ground truths of some images, in a given order.

        Args:
            images (Sequence[int]): Indices; may hold one several times.

        Returns:
            GroundTruths: Of ``len(images)`` images.
        """
        return GroundTruths(
            [self.instances[image] for image in images],
            [self.metas[image] for image in images],
            self.device,
            ignored=[self.ignored[image] for image in images],
            names=[self.names[image] for image in images],
        )

    @property
    def has_boxes(self) -> bool:
        """Whether there are boxes; costs of masks need none."""
        return 'bboxes' in self.instances[0]

    @cached_property
    def boxes(self) -> Tensor:
        """(B, M, 4) boxes as given, xyxy, zero in the padding."""
        boxes = [widen(x) for x in fields(self.instances, 'bboxes', (4,))]
        return pad_sequence(boxes, batch_first=True)

    @cached_property
    def matched_boxes(self) -> Tensor:
        """(B, M, 4) boxes, zero in the padding and where one is bad."""
        good = is_good(self.boxes).all(2, keepdim=True)
        return torch.where(good, self.boxes, 0.0)

    @cached_property
    def image_sizes(self) -> Tensor:
        """(B, 1, 4) width, height, width, height in pixels, float32.

        Raises:
            ValueError: If an image has no ``img_shape``.
        """
        if not all('img_shape' in meta for meta in self.metas):
            raise ValueError(
                'relative boxes need `img_shape` in the meta information '
                '(batch_img_metas) of every image'
            )
        shapes = [meta['img_shape'][:2] for meta in self.metas]
        sizes = [[w, h, w, h] for h, w in shapes]
        return to_device(sizes, self.device, torch.float32)[:, None]

    @cached_property
    def valid(self) -> Tensor:
        """(B, M) bool, False for padding and for boxes that are no good."""
        if not self.has_boxes:
            return self._is_real
        return self._is_real & is_good_box(self.boxes)

    @cached_property
    def flaws(self) -> Tensor:
        """(2, B) int64 numbers of boxes that are bad, and without an area."""
        if not self.has_boxes:
            return torch.zeros(
                (2, len(self)), dtype=torch.int64, device=self.device
            )
        bad = ~is_good(self.boxes).all(2)
        flat = ~bad & ~is_good_box(self.boxes)
        return (torch.stack((bad, flat)) & self._is_real).sum(2)

    @cached_property
    def matched(self) -> list[InstanceData]:
        """Per image, for costs that take one; bad boxes are zero."""
        instances = [plain(instance) for instance in self.instances]
        if self.has_boxes:
            for instance, boxes in zip(instances, self.matched_boxes):
                instance.bboxes = boxes[: len(instance)]
        return instances

    def labels(self, num_classes: int) -> Tensor:
        """(B, M) int64 labels, zero in the padding.

        Args:
            num_classes (int): Number of classes that there are.

        Raises:
            ValueError: If a label is no class. On a GPU, where nothing waits
                for it, this is a failed device-side assertion.
        """
        labels = self._labels
        if num_classes >= self._num_classes:
            return labels
        known = ((labels >= 0) & (labels < num_classes)).all()
        try:
            torch._assert_async(
                known, f'a label is outside [0, {num_classes})'
            )
        except RuntimeError:
            image, label = next(
                (image, label)
                for image, row in enumerate(labels.tolist())
                for label in row
                if not 0 <= label < num_classes
            )
            raise ValueError(
                f'labels must be in [0, {num_classes}) for num_classes='
                f'{num_classes}, got {label} in {self.names[image]}; adapt '
                'num_classes of the head or the classes of the dataset'
            ) from None
        self._num_classes = num_classes
        return labels

    def numbers(self, name: str) -> Tensor:
        """(B, M) float32 numbers, a field (m,) of the instances.

        Args:
            name (str): Name of the field.

        Returns:
            Tensor: Zero in the padding.

        Raises:
            ValueError: If an image has no such field, or of another shape.
        """
        numbers = [x.float() for x in fields(self.instances, name, ())]
        return pad_sequence(numbers, batch_first=True).to(self.device)

    def bad_boxes(self) -> Iterator[tuple[int, int, list[float]]]:
        """Yields image, index and numbers of the boxes that are bad."""
        if self.has_boxes:
            bad = (~is_good(self.boxes).all(2)).nonzero().tolist()
            for image, gt in bad:
                yield image, gt, self.boxes[image, gt].tolist()

    @cached_property
    def _labels(self) -> Tensor:
        labels = [x.long() for x in fields(self.instances, 'labels', ())]
        return pad_sequence(labels, batch_first=True)

    @cached_property
    def _is_real(self) -> Tensor:
        """(B, M) bool, False for padding."""
        return valid_mask(self.counts, self.device)
