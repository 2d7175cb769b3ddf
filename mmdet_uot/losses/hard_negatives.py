"""Hard negative mining by mass (paper, Sec. 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ot import TransportPlan

__all__ = ['mine_hard_negatives']


@torch.no_grad()
def mine_hard_negatives(
    loss: Tensor, plan: TransportPlan, ratio: float
) -> Tensor:
    r"""Chooses the background matches that count.

    Predictions are sorted by :math:`N P_{i \emptyset} \mathrm{CE}(\hat c_i,
    \emptyset)` and kept from the top, per image, as long as their background
    mass adds up to at most ``ratio`` times the foreground mass.

    Args:
        loss (Tensor): (B, N) unweighted background loss.
        plan (TransportPlan): Weights (B, N, M + 1).
        ratio (float): Negatives per positive, 3 in the paper.

    Returns:
        Tensor: (B, N) bool.
    """
    order = (plan.background * loss).argsort(dim=1, descending=True)
    kept_mass = plan.background.gather(1, order).cumsum(1)
    budget = ratio * plan.foreground_mass.unsqueeze(1)
    return torch.zeros_like(order, dtype=torch.bool).scatter_(
        1, order, kept_mass <= budget
    )
