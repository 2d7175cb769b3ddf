"""Anchors of a feature pyramid, made once per feature size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.task_modules.prior_generators import (
    AnchorGenerator,
    anchor_inside_flags,
)
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

__all__ = ['GridAnchors']


class GridAnchors:
    """Remembers the anchors of the last feature sizes.

    Args:
        generator (AnchorGenerator): Prior generator of the head.
        allowed_border (int): How far an anchor may leave the image, in
            pixels; negative: anywhere in the padded image.
    """

    def __init__(
        self, generator: AnchorGenerator, allowed_border: int
    ) -> None:
        self.generator = generator
        self.allowed_border = allowed_border
        self._key: tuple | None = None
        self._anchors = torch.empty(0, 4)
        self._inside: dict[tuple, tuple[Tensor, Tensor] | None] = {}

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
            levels = self.generator.grid_priors(sizes, device=device)
            self._anchors = torch.cat([get_box_tensor(x) for x in levels])
            self._key, self._inside = key, {}
        return self._anchors

    def inside(
        self,
        sizes: Sequence[tuple[int, int]],
        meta: dict,
        device: torch.device,
    ) -> tuple[Tensor, Tensor] | None:
        """Which anchors may be matched in an image.

        Args:
            sizes (Sequence[tuple[int, int]]): Height and width per level.
            meta (dict): ``pad_shape`` and ``img_shape`` of the image.
            device (torch.device): Device of the result.

        Returns:
            tuple[Tensor, Tensor], optional: (N,) bool, and those anchors; or
            None for all.

        Raises:
            ValueError: If there is no such anchor.
        """
        anchors = self.anchors(sizes, device)
        pad_shape, img_shape = meta['pad_shape'][:2], meta['img_shape'][:2]
        key = tuple(pad_shape)
        if self.allowed_border >= 0:
            key += tuple(img_shape)
        if key not in self._inside:
            flags = torch.cat(
                self.generator.valid_flags(sizes, pad_shape, device)
            )
            flags = anchor_inside_flags(
                anchors, flags, img_shape, self.allowed_border
            )
            if not flags.any():
                raise ValueError(
                    f'no anchor lies inside the image (img_shape {img_shape}, '
                    f'pad_shape {pad_shape}, allowed_border='
                    f'{self.allowed_border}); enlarge the image or set '
                    'allowed_border=-1'
                )
            kept = None if flags.all() else (flags, anchors[flags])
            self._inside[key] = kept
        return self._inside[key]
