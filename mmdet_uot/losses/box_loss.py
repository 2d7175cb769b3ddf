"""Box losses under a transport plan."""

from __future__ import annotations

from torch import Tensor, nn

from ..ot import TransportPlan, WeightedPairs

__all__ = ['box_loss', 'box_pairs']


def box_pairs(plan: TransportPlan, min_mass: float) -> WeightedPairs:
    """The pairs whose boxes are compared."""
    return plan.pairs(min_mass)


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
