"""Class losses under a transport plan."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.losses import CrossEntropyLoss, FocalLoss
from torch import Tensor, nn

from ..ot import TransportPlan

__all__ = [
    'background_cross_entropy',
    'check_class_loss',
    'class_loss',
    'class_mass',
    'cross_entropy',
    'focal',
]


def class_mass(
    plan: TransportPlan, labels: Tensor, num_classes: int
) -> Tensor:
    r"""Weight that each prediction gives to each class.

    .. math:: t_{ic} = \sum_{j : c_j = c} N P_{ij}.

    Args:
        plan (TransportPlan): Weights (B, N, M + 1).
        labels (Tensor): (B, M) int64, anything in the padding.
        num_classes (int): Number of classes C without the background.

    Returns:
        Tensor: (B, N, C).
    """
    return plan.grouped(labels, num_classes)


def cross_entropy(
    scores: Tensor,
    plan: TransportPlan,
    labels: Tensor,
    class_weight: Tensor | Sequence[float] | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Cross-entropy of each prediction with what it is matched to.

    A weighted sum over pairs is linear in the targets,

    .. math::
        N \sum_j P_{ij} \mathrm{CE}(\hat c_i, c_j)
        = - \sum_c t_{ic} \log \mathrm{softmax}(\hat c_i)_c,

    so no pair is formed.

    Args:
        scores (Tensor): (B, N, C + 1) logits, background last.
        plan (TransportPlan): Weights (B, N, M + 1).
        labels (Tensor): (B, M) int64.
        class_weight (Tensor | Sequence[float], optional): (C + 1,) factors
            of the classes. Defaults to None, all 1.

    Returns:
        tuple[Tensor, Tensor]: (B, N) weighted loss of the ground truths, and
        (B, N) unweighted loss of the background,
        :math:`\mathrm{CE}(\hat c_i, \emptyset)`.
    """
    log_prob = scores.float().log_softmax(-1)
    if class_weight is not None:
        factor = torch.as_tensor(class_weight).to(
            log_prob.device, log_prob.dtype, non_blocking=True
        )
        log_prob = log_prob * factor
    mass = class_mass(plan, labels, scores.shape[-1] - 1)
    return -(mass * log_prob[..., :-1]).sum(-1), -log_prob[..., -1]


@torch.no_grad()
def background_cross_entropy(scores: Tensor) -> Tensor:
    """Cross-entropy of each prediction with the background.

    Args:
        scores (Tensor): (B, N, C + 1) logits, background last.

    Returns:
        Tensor: (B, N), without a gradient.
    """
    # Image by image, in memory that a cache holds.
    return torch.stack(
        [-image.float().log_softmax(-1)[:, -1] for image in scores]
    )


def focal(
    scores: Tensor,
    plan: TransportPlan,
    labels: Tensor,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Tensor:
    r"""Sigmoid focal loss of each prediction with what it is matched to.

    The focal loss is not linear in its target, but for each class a pair is
    either positive or negative, so that the weighted sum over pairs is

    .. math::
        \sum_c t_{ic} \mathrm{FL}(\hat c_{ic}, 1)
        + (m_i - t_{ic}) \mathrm{FL}(\hat c_{ic}, 0),

    with the weight :math:`m_i` that the prediction sends in all.

    Args:
        scores (Tensor): (B, N, C) logits.
        plan (TransportPlan): Weights (B, N, M + 1).
        labels (Tensor): (B, M) int64.
        alpha (float): Balance of positives and negatives. Defaults to 0.25.
        gamma (float): Focusing exponent. Defaults to 2.

    Returns:
        Tensor: (B, N).
    """
    scores = scores.float()
    probability = scores.sigmoid()
    positive = (1 - probability).pow(gamma) * F.softplus(-scores) * alpha
    negative = probability.pow(gamma) * F.softplus(scores) * (1 - alpha)
    mass = class_mass(plan, labels, scores.shape[-1])
    sent = plan.pred_marginal.unsqueeze(2)
    return (mass * positive + (sent - mass) * negative).sum(-1)


def check_class_loss(loss: nn.Module) -> None:
    """Raises TypeError if a class loss cannot be weighted by pairs."""
    softmax = type(loss) is CrossEntropyLoss and not loss.use_sigmoid
    sigmoid = type(loss) is FocalLoss and not loss.activated
    if not (softmax or sigmoid):
        raise TypeError(
            f'loss_cls {type(loss).__name__} cannot be weighted by a '
            'transport plan; use CrossEntropyLoss with use_sigmoid=False or '
            'FocalLoss with activated=False'
        )


def class_loss(
    loss: nn.Module, scores: Tensor, plan: TransportPlan, labels: Tensor
) -> Tensor:
    """Class loss of one of mmdet's loss modules under a plan.

    Args:
        loss (nn.Module): One that :func:`check_class_loss` lets pass.
        scores (Tensor): (B, N, C) logits, with background as the last class
            for the cross-entropy.
        plan (TransportPlan): Weights (B, N, M + 1).
        labels (Tensor): (B, M) int64.

    Returns:
        Tensor: (B,) summed over the predictions, not averaged.
    """
    if isinstance(loss, FocalLoss):
        value = focal(scores, plan, labels, loss.alpha, loss.gamma)
    else:
        foreground, background = cross_entropy(
            scores, plan, labels, loss.class_weight
        )
        value = foreground + plan.background * background
    return loss.loss_weight * value.sum(1)
