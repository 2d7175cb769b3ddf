"""Boxes cut into blocks, which the compiled library reads."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from .library import can_read, run

__all__ = ['BLOCK', 'BlockedBoxes', 'cut_boxes', 'num_blocks']

# Predictions of a block, whose pairs with a ground truth are bits of an int64.
BLOCK = 64

# Floats of a block that are no boxes, and what images are rounded up to.
_EXTREMES = 6
_ALIGNED = 16


class Arguments(ctypes.Structure):
    """``blocked_boxes`` of ``box_blocks.h``."""

    _fields_ = (
        ('floats', ctypes.c_void_p),
        ('image_stride', ctypes.c_int64),
        ('num_blocks', ctypes.c_int64),
    )


class _Cut(ctypes.Structure):
    """``box_cut`` of ``box_blocks.c``."""

    _fields_ = (
        ('num_images', ctypes.c_int64),
        ('num_preds', ctypes.c_int64),
        ('boxes', ctypes.c_void_p),
        ('box_image_stride', ctypes.c_int64),
        ('to', Arguments),
        ('is_bad', ctypes.c_int32),
    )


class BlockedBoxes:
    """Boxes in blocks of 64.

    Args:
        floats (Tensor): (B, ...) float32, or (1, ...) for all images.
        num_preds (int): Number of boxes.

    Attributes:
        arguments (Arguments): What the library takes.
    """

    def __init__(self, floats: Tensor, num_preds: int) -> None:
        self._floats = floats
        stride = floats.stride(0) if len(floats) > 1 else 0
        self.arguments = Arguments(
            floats.data_ptr(), stride, num_blocks(num_preds)
        )


def num_blocks(num_preds: int) -> int:
    """How many blocks so many predictions take."""
    return -(-num_preds // BLOCK)


def cut_boxes(boxes: Tensor) -> BlockedBoxes | None:
    """Cuts the boxes of a batch into blocks.

    Args:
        boxes (Tensor): (B, N, 4) float32, xyxy; may repeat one image.

    Returns:
        BlockedBoxes | None: None if the library cannot read them, there are
        none, or one has no finite area.
    """
    if 0 in boxes.shape or boxes.dtype != torch.float32 or not can_read(boxes):
        return None
    if boxes.stride(0) == 0:
        boxes = boxes[:1]
    boxes = boxes.contiguous()
    B, N, _ = boxes.shape
    size = num_blocks(N) * (5 * BLOCK + _EXTREMES)
    floats = boxes.new_empty((B, -(-size // _ALIGNED) * _ALIGNED))
    blocked = BlockedBoxes(floats, N)
    cut = _Cut(B, N, boxes.data_ptr(), boxes.stride(0), blocked.arguments)
    run('cut_boxes', cut)
    return None if cut.is_bad else blocked
