"""Hard negative mining by mass (paper, Sec. 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ot import TransportPlan
from ..ot.device import can_look

__all__ = ['mine_hard_negatives']

# So many more are sorted at first than the budget is known to need.
_MORE = 64


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
    weighted = plan.background * loss
    budget = ratio * plan.foreground_mass.unsqueeze(1)
    count = N = loss.shape[1]
    if can_look(loss) and loss.numel():
        # Most background masses are 1.
        count = 2 * int(budget.nan_to_num(0.0).max().clamp(max=N)) + _MORE
    while True:
        count = min(count, N)
        greatest, order = weighted.topk(count, dim=1)
        kept_mass = plan.background.gather(1, order).cumsum(1)
        if count == N or bool(
            ((kept_mass > budget) | (greatest <= 0))[:, -1].all()
        ):
            break
        count *= 4
    return torch.zeros_like(loss, dtype=torch.bool).scatter_(
        1, order, kept_mass <= budget
    )
