"""The predictions and ground truths of a batch, padded for batched costs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..instances import image_sizes, pad_boxes, pad_labels
from ..ot import valid_mask

__all__ = ['InstanceBatch', 'MatchBatch', 'TensorBatch']


class MatchBatch:
    """What the match costs see of a batch of images.

    Floating tensors are float32 or wider and carry no gradient. Where there
    are several layers, entry ``l * len(gts) + b`` is layer l of image b.

    Args:
        gts (Sequence[InstanceData]): Per image, ``bboxes`` (m, 4) xyxy,
            ``labels`` (m,), ``masks``.
        metas (Sequence[dict]): Per image.
        layers (int): Number of layers. Defaults to 1.
    """

    num_preds: list[int]
    boxes: Tensor
    scores: Tensor
    preds: list[InstanceData]

    def __init__(
        self,
        gts: Sequence[InstanceData],
        metas: Sequence[dict],
        layers: int = 1,
    ) -> None:
        self._gts, self._metas, self.layers = gts, metas, layers
        self.num_gts = [len(gt) for gt in gts] * layers

    @property
    def device(self) -> torch.device:
        """Device of the predictions."""
        raise NotImplementedError

    @cached_property
    def gts(self) -> list[InstanceData]:
        """The ground truths of each entry, for costs that take one image."""
        return [_plain(gt) for gt in self._gts] * self.layers

    @property
    def metas(self) -> list[dict]:
        """The meta information of each entry."""
        return list(self._metas) * self.layers

    @cached_property
    def gt_boxes(self) -> Tensor:
        """(B, M, 4) boxes, xyxy, zero in the padding."""
        return _wide(pad_boxes(self._gts)).repeat(self.layers, 1, 1)

    @cached_property
    def gt_labels(self) -> Tensor:
        """(B, M) int64, zero in the padding."""
        return pad_labels(self._gts).repeat(self.layers, 1)

    @cached_property
    def image_sizes(self) -> Tensor:
        """(B, 1, 4) width, height, width, height in pixels."""
        return image_sizes(self.metas, self.boxes)

    def pred_valid(self) -> Tensor:
        """(B, N) bool, False for padding."""
        return valid_mask(self.num_preds, self.device)

    def gt_valid(self) -> Tensor:
        """(B, M) bool, False for padding."""
        return valid_mask(self.num_gts, self.device)


class InstanceBatch(MatchBatch):
    """A batch given as mmdet's instances.

    Predictions without ``bboxes`` are given their ``priors`` as boxes, so
    that box costs work on anchors.

    Args:
        preds (Sequence[InstanceData]): Per image, what the costs need of
            ``bboxes`` or ``priors``, ``scores``, ``masks``.
        gts (Sequence[InstanceData]): Per image.
        metas (Sequence[dict], optional): Per image.

    Raises:
        ValueError: If the sequences are empty or of different lengths.
    """

    def __init__(
        self,
        preds: Sequence[InstanceData],
        gts: Sequence[InstanceData],
        metas: Sequence[dict] | None,
    ) -> None:
        if metas is None:
            metas = [{}] * len(preds)
        if not len(preds) == len(gts) == len(metas) > 0:
            raise ValueError(
                'batch_pred_instances, batch_gt_instances and batch_img_metas '
                'must have one entry per image, got '
                f'{len(preds)}, {len(gts)} and {len(metas)}'
            )
        super().__init__(gts, metas)
        # One object given for several images (anchors) stays one object.
        plain = {id(pred): _with_boxes(pred) for pred in preds}
        self.preds = [plain[id(pred)] for pred in preds]
        self.num_preds = [len(pred) for pred in preds]

    @property
    def device(self) -> torch.device:
        """Device of the predictions."""
        values = self.preds[0].values()
        return next(v.device for v in values if isinstance(v, Tensor))

    @cached_property
    def boxes(self) -> Tensor:
        """(B, N, 4) predicted boxes or anchors, xyxy."""
        return self._stack_preds('bboxes')

    @cached_property
    def scores(self) -> Tensor:
        """(B, N, C) logits."""
        return self._stack_preds('scores')

    def _stack_preds(self, name: str) -> Tensor:
        tensors = [pred.get(name) for pred in self.preds]
        if any(tensor is None for tensor in tensors):
            raise ValueError(
                f'a match cost needs `{name}`, which the predictions lack; '
                f'they have {sorted(self.preds[0].keys())}. Leave the cost '
                'out of match_costs, or give them'
            )
        if all(tensor is tensors[0] for tensor in tensors):
            return tensors[0].expand(len(tensors), *tensors[0].shape)
        return pad_sequence(tensors, batch_first=True)


class TensorBatch(MatchBatch):
    """A batch given as the tensors of a head with several layers.

    Args:
        scores (Tensor): (L, B, N, C) logits.
        boxes (Tensor): (L, B, N, 4) boxes, xyxy in pixels.
        gts (Sequence[InstanceData]): Per image.
        metas (Sequence[dict]): Per image.
    """

    def __init__(
        self,
        scores: Tensor,
        boxes: Tensor,
        gts: Sequence[InstanceData],
        metas: Sequence[dict],
    ) -> None:
        super().__init__(gts, metas, layers=len(scores))
        self.scores = _wide(scores.flatten(0, 1))
        self.boxes = _wide(boxes.flatten(0, 1))
        self.num_preds = [scores.shape[2]] * len(self.num_gts)

    @property
    def device(self) -> torch.device:
        """Device of the predictions."""
        return self.scores.device

    @cached_property
    def preds(self) -> list[InstanceData]:
        """The predictions of each entry, for costs that take one image."""
        return [
            InstanceData(scores=scores, bboxes=boxes)
            for scores, boxes in zip(self.scores, self.boxes, strict=True)
        ]


def _with_boxes(pred: InstanceData) -> InstanceData:
    pred = _plain(pred)
    if 'bboxes' not in pred and 'priors' in pred:
        pred.bboxes = pred.priors
    return pred


def _plain(instances: InstanceData) -> InstanceData:
    """Box tensors instead of box objects, float32 instead of half."""
    plain = InstanceData(metainfo=instances.metainfo)
    for name, value in instances.items():
        if name in ('bboxes', 'priors'):
            value = get_box_tensor(value)
        if isinstance(value, Tensor):
            value = _wide(value)
        plain.set_field(value, name)
    return plain


def _wide(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    if tensor.is_floating_point():
        tensor = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
    return tensor
