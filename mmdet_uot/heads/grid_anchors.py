"""Anchors of a feature pyramid, made once per feature size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.models.task_modules.assigners import BaseAssigner
from mmdet.models.task_modules.prior_generators import (
    AnchorGenerator,
    anchor_inside_flags,
)
from mmdet.structures.bbox import get_box_tensor
from mmdet.utils import OptInstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from ..assigners import match_batch
from ..inputs.ground_truths import GroundTruths
from ..ot import TransportPlan

__all__ = ['GridAnchors', 'Inside', 'as_logits']

# Image shapes of which is remembered which anchors lie inside.
_REMEMBERED = 64


class Inside(NamedTuple):
    """The n of N anchors that may be matched in an image.

    Attributes:
        flags (Tensor): (N,) bool, which they are.
        index (Tensor): (n,) int64, their places.
        anchors (Tensor): (n, 4) their boxes.
        counts (list[int]): How many there are per level.
    """

    flags: Tensor
    index: Tensor
    anchors: Tensor
    counts: list[int]


class GridAnchors:
    """Remembers the anchors of the last feature sizes.

    And which of them lie inside of the last 64 shapes of images.

    Args:
        generator (AnchorGenerator): Prior generator of the head.
        allowed_border (int, optional): How far an anchor may leave the
            image, in pixels; negative: anywhere in the padded image; None:
            anywhere in the batch.
        with_stride (bool): Whether the generator makes points, to be given
            as x, y and both strides. Defaults to False.
    """

    def __init__(
        self,
        generator: AnchorGenerator,
        allowed_border: int | None,
        with_stride: bool = False,
    ) -> None:
        self.generator = generator
        self.allowed_border = allowed_border
        self.options = dict(with_stride=True) if with_stride else {}
        self._key: tuple | None = None
        self._anchors = self._strides = torch.empty(0, 4)
        self._inside: dict[tuple, Inside | None] = {}

    def anchors(
        self, sizes: Sequence[tuple[int, int]], device: torch.device
    ) -> Tensor:
        """All levels' anchors.

        Args:
            sizes (Sequence[tuple[int, int]]): Height and width per level.
            device (torch.device): Device of the result.

        Returns:
            Tensor: (N, 4) boxes, xyxy in pixels.
        """
        key = (tuple(map(tuple, sizes)), device)
        if key != self._key:
            levels = self.generator.grid_priors(
                sizes, device=device, **self.options
            )
            self._anchors = torch.cat([get_box_tensor(x) for x in levels])
            self._key, self._inside = key, {}
            self._strides = self._anchors[:0]
        return self._anchors

    def strides(
        self, sizes: Sequence[tuple[int, int]], device: torch.device
    ) -> Tensor:
        """(N, 2) strides of the anchors in x and y, in pixels."""
        if len(self._strides) != len(self.anchors(sizes, device)):
            levels = zip(self.generator.strides, self.counts(sizes))
            strides = [
                torch.tensor(stride, dtype=torch.float32).expand(count, 2)
                for stride, count in levels
            ]
            self._strides = torch.cat(strides).to(device, non_blocking=True)
        return self._strides

    def counts(self, sizes: Sequence[tuple[int, int]]) -> list[int]:
        """How many anchors each level has."""
        return [
            height * width * per_cell
            for (height, width), per_cell in zip(
                sizes, self.generator.num_base_priors
            )
        ]

    def inside(
        self,
        sizes: Sequence[tuple[int, int]],
        meta: dict,
        device: torch.device,
    ) -> Inside | None:
        """Which anchors may be matched in an image.

        Args:
            sizes (Sequence[tuple[int, int]]): Height and width per level.
            meta (dict): ``pad_shape`` and ``img_shape`` of the image.
            device (torch.device): Device of the result.

        Returns:
            Inside, optional: None for all.

        Raises:
            ValueError: If there is no such anchor.
        """
        if self.allowed_border is None:
            return None
        anchors = self.anchors(sizes, device)
        pad_shape, img_shape = meta['pad_shape'][:2], meta['img_shape'][:2]
        key = tuple(pad_shape)
        if self.allowed_border >= 0:
            key += tuple(img_shape)
        if key in self._inside:
            self._inside[key] = self._inside.pop(key)
        else:
            flags = torch.cat(
                self.generator.valid_flags(sizes, pad_shape, device)
            )
            flags = anchor_inside_flags(
                anchors, flags, img_shape, self.allowed_border
            )
            index = flags.nonzero()[:, 0]
            if len(index) == 0:
                raise ValueError(
                    f'no anchor lies inside the image (img_shape {img_shape}, '
                    f'pad_shape {pad_shape}, allowed_border='
                    f'{self.allowed_border}); enlarge the image or set '
                    'allowed_border=-1'
                )
            counts = [int(x.sum()) for x in flags.split(self.counts(sizes))]
            everywhere = len(index) == len(flags)
            self._inside[key] = (
                None
                if everywhere
                else Inside(flags, index, anchors[index], counts)
            )
            if len(self._inside) > _REMEMBERED:
                del self._inside[next(iter(self._inside))]
        return self._inside[key]

    def match(
        self,
        assigner: BaseAssigner,
        sizes: Sequence[tuple[int, int]],
        gts: GroundTruths,
        batch_gt_instances_ignore: OptInstanceList = None,
        **predictions: Tensor,
    ) -> TransportPlan:
        """Matches the anchors of all images in one solve.

        Args:
            assigner (BaseAssigner): One of ours or any of mmdet's.
            sizes (Sequence[tuple[int, int]]): Height and width per level.
            gts (GroundTruths): Of the batch.
            batch_gt_instances_ignore (list[InstanceData], optional): Per
                image, ignored ``bboxes``. Defaults to None.
            **predictions (Tensor): (B, N, ...) ``scores``, see
                :func:`as_logits`, and ``bboxes``, where the assigner looks at
                them, or other ``priors``.

        Returns:
            TransportPlan: Weights (B, N, M + 1); anchors that lie outside
            of an image have none.
        """
        anchors = self.anchors(sizes, gts.device)
        inside = [self.inside(sizes, meta, gts.device) for meta in gts.metas]
        counts = self.counts(sizes)
        preds = []
        kinds = dict(score_kind='logits', prior_kind='points')
        if not self.options:
            kinds['prior_kind'] = 'boxes'
            strides = self.strides(sizes, gts.device)
            predictions['strides'] = strides.expand(len(gts), -1, 2)
        for image, kept in enumerate(inside):
            of_image = slice(None) if kept is None else kept.index
            found = {
                name: values.detach()[image][of_image]
                for name, values in predictions.items()
            }
            if kept is None:
                entry = InstanceData(
                    metainfo=dict(num_level_priors=counts, **kinds),
                    **{'priors': anchors, **found},
                )
            else:
                entry = InstanceData(
                    metainfo=dict(
                        out_of=len(anchors),
                        num_level_priors=kept.counts,
                        **kinds,
                    ),
                    index=kept.index,
                    **{'priors': kept.anchors, **found},
                )
            preds.append(entry)
        plan = match_batch(
            assigner, preds, gts, gts.metas, batch_gt_instances_ignore
        )
        if all(kept is None for kept in inside):
            return plan
        keep = torch.stack(
            [
                anchors.new_ones(len(anchors), dtype=torch.bool)
                if kept is None
                else kept.flags
                for kept in inside
            ]
        )
        return plan.spread(keep)


def as_logits(assigner: BaseAssigner, probabilities: Tensor) -> Tensor:
    """Scores as an assigner takes them: ours logits, mmdet's what heads have.

    Args:
        assigner (BaseAssigner): One of ours or any of mmdet's.
        probabilities (Tensor): In [0, 1].

    Returns:
        Tensor: Of the same shape.
    """
    if hasattr(assigner, 'match'):
        return probabilities.logit(eps=1e-6)
    return probabilities
