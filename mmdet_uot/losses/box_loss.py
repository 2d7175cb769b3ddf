"""Box losses under a transport plan."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..ot import TransportPlan, WeightedPairs, may_hold

__all__ = ['box_loss', 'box_pairs', 'heaviest_pairs']


# A ground truth has at most so many pairs per unit of its mass.
_MOST = 1000
_GOLDEN_RATIO = 0.6180339887498949

# Of the heaviest pair's mass; what has less is not worth a mask.
_LEAST_SHARE = 0.01


def box_pairs(plan: TransportPlan, min_mass: float) -> WeightedPairs:
    """The pairs whose boxes are compared: all but the lightest.

    Light is relative to the mean weight that a ground truth gets from the N
    predictions that take part (for less than a mass of 1: to 1 / N). So none
    is lost whose mass is spread: a small object that fits no anchor, a
    decoder at its start. At most the share ``min_mass`` of its mass is left
    out. Where more than 1,000 pairs remain, those of at most a thousandth of
    the mass stand for each other: of pairs with weight w one in 1 / (1000 w)
    is kept. The pairs that are kept have together the mass of their ground
    truth.

    Args:
        plan (TransportPlan): Weights (B, N, M + 1).
        min_mass (float): Pairs of at most this share of the mean weight are
            left out; in [0, 1).

    Returns:
        WeightedPairs: The K pairs. A GPU waits here for the host.

    Raises:
        ValueError: If ``min_mass`` is out of its range.
    """
    if not 0 <= min_mass < 1:
        raise ValueError(
            f'min_mass must be in [0, 1), got {min_mass}: pairs are left out '
            'that have at most this share of the mean weight'
        )
    received = plan.gt_marginal[:, :-1].unsqueeze(2)
    N = plan.pred_mass.shape[1]
    taking_part = (plan.pred_mass > 0).sum(1).clamp(min=1).view(-1, 1, 1)
    threshold = least = min_mass * received.clamp(min=1) / taking_part
    if N > _MOST and min_mass > 0:
        spread = plan.gt_support(least) > _MOST
        if may_hold(spread):
            least = torch.where(spread, received.clamp(max=1) / _MOST, least)
            # Evenly spread in any run of predictions.
            steps = torch.arange(1, N + 1, device=least.device).double()
            steps = (steps * _GOLDEN_RATIO).frac().to(least.dtype)
            threshold = least * torch.where(spread, steps, 1.0)
    pairs = plan.pairs(threshold)
    column = pairs.image * least.shape[1] + pairs.ground_truth
    mass = torch.maximum(pairs.mass, least.flatten()[column])
    received = received.flatten().double()
    kept = torch.zeros_like(received).index_add_(0, column, mass.double())
    factor = (received / kept).to(mass.dtype)
    return pairs._replace(mass=mass * factor[column])


def heaviest_pairs(plan: TransportPlan, most: int) -> WeightedPairs:
    """A few pairs of each ground truth, for losses that cost much.

    Together they have all of its mass.

    Args:
        plan (TransportPlan): Weights (B, N, M + 1).
        most (int): Most pairs of a ground truth: its heaviest, of those that
            have at least a hundredth of the heaviest one's mass.

    Returns:
        WeightedPairs: The K pairs. A GPU waits here for the host.

    Raises:
        ValueError: If ``most`` is less than 1.
    """
    if most < 1:
        raise ValueError(f'most must be at least 1, got {most}')
    weights = plan.foreground.mT
    mass, prediction = weights.topk(min(most, weights.shape[2]), dim=2)
    mass = mass * (mass >= _LEAST_SHARE * mass[..., :1])
    kept = mass.sum(2, keepdim=True).clamp(min=torch.finfo(mass.dtype).tiny)
    scaled = mass * (weights.sum(2, keepdim=True) / kept)
    image, ground_truth, place = (mass > 0).nonzero(as_tuple=True)
    chosen = image, ground_truth, place
    return WeightedPairs(
        image, prediction[chosen], ground_truth, scaled[chosen]
    )


def box_loss(
    loss: nn.Module,
    pred: Tensor,
    target: Tensor,
    mass: Tensor,
    group: Tensor,
    num_groups: int,
) -> Tensor:
    r"""Box loss of weighted pairs, summed by group.

    .. math:: \sum_{k : g_k = g} m_k \, \mathcal{L}(\hat b_k, b_k).

    Args:
        loss (nn.Module): Any of mmdet's box losses that takes ``weight`` and
            ``reduction_override``.
        pred (Tensor): (K, 4) predicted boxes (or their encoding).
        target (Tensor): (K, 4) target boxes (or their encoding).
        mass (Tensor): (K,) weights :math:`m_k`.
        group (Tensor): (K,) int64, the image or layer of each pair.
        num_groups (int): Number of groups G.

    Returns:
        Tensor: (G,) not averaged. Depends on ``pred`` even without pairs, so
        that every process has the same gradients to reduce.
    """
    total = pred.new_zeros(num_groups, dtype=mass.dtype)
    if len(pred) == 0:
        return total + pred.sum()
    per_pair = loss(
        pred,
        target,
        mass.unsqueeze(1).expand_as(pred),
        reduction_override='none',
    )
    per_pair = per_pair.reshape(len(pred), -1).sum(1)
    return total.index_add(0, group, per_pair.to(total.dtype))
