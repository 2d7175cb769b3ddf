"""Class losses of weighted pairs: any loss that takes a weight per sample."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.losses import (
    CrossEntropyLoss,
    FocalLoss,
    QualityFocalLoss,
    VarifocalLoss,
)
from torch import Tensor, nn

from ..ot import TransportPlan, WeightedPairs

__all__ = ['check_pair_loss', 'pair_class_loss']

# Losses that treat every sample for itself.
_PER_SAMPLE = (CrossEntropyLoss, FocalLoss, QualityFocalLoss, VarifocalLoss)


def check_pair_loss(loss: nn.Module) -> None:
    """Raises TypeError if a class loss does not treat samples one by one."""
    if type(loss) not in _PER_SAMPLE:
        names = ', '.join(kind.__name__ for kind in _PER_SAMPLE)
        raise TypeError(
            f'loss_cls {type(loss).__name__} cannot be weighted by a '
            f'transport plan, as it may join samples; use one of {names}'
        )


def pair_class_loss(
    loss: nn.Module,
    scores: Tensor,
    plan: TransportPlan,
    pairs: WeightedPairs,
    labels: Tensor,
    background: int,
    quality: Tensor | None = None,
) -> Tensor:
    r"""Class loss of each prediction with what it is matched to.

    .. math::
        \sum_j N P_{ij} \mathcal{L}(\hat c_i, c_j)
        + N P_{i \emptyset} \mathcal{L}(\hat c_i, \emptyset),

    pair by pair, so that the loss need not be linear in its target.

    Args:
        loss (nn.Module): One that :func:`check_pair_loss` lets pass.
        scores (Tensor): (B, N, C) logits.
        plan (TransportPlan): Weights (B, N, M + 1).
        pairs (WeightedPairs): The K foreground pairs that count.
        labels (Tensor): (B, M) int64 labels of the ground truths.
        background (int): The label of the background.
        quality (Tensor, optional): (K,) in [0, 1], what the score of a pair
            should be, for losses that take it. Defaults to None.

    Returns:
        Tensor: (B, N), not averaged.
    """
    B, N = scores.shape[:2]
    flat = scores.flatten(0, 1)
    nothing = labels.new_full((B * N,), background)
    value = _each(
        loss, flat, nothing, plan.background.flatten(), quality is not None
    )
    if len(pairs.mass) == 0:
        return value.view(B, N)
    index = pairs.prediction.add(pairs.image, alpha=N)
    target = labels[pairs.image, pairs.ground_truth]
    of_pairs = _each(loss, flat[index], target, pairs.mass, quality)
    return value.index_add(0, index, of_pairs.to(value.dtype)).view(B, N)


def _each(
    loss: nn.Module,
    scores: Tensor,
    labels: Tensor,
    weight: Tensor,
    quality: Tensor | bool | None,
) -> Tensor:
    """(K,) weighted losses of K samples; True: with a quality of zero."""
    if isinstance(quality, bool):
        quality = torch.zeros_like(weight) if quality else None
    target: Tensor | tuple[Tensor, Tensor] = labels
    if isinstance(loss, VarifocalLoss):
        one_hot = F.one_hot(labels, scores.shape[1] + 1)[:, :-1]
        target, weight = one_hot * quality.unsqueeze(1), weight.unsqueeze(1)
    elif quality is not None:
        target = labels, quality
    value = loss(scores, target, weight, reduction_override='none')
    return value.reshape(len(scores), -1).sum(1)
