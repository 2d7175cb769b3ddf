"""Ground truths that ask for several predictions, as repeated columns."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ['asked_counts', 'greatest_of_each', 'repeat_columns']

# Of a prediction's mass: what float32 rounds masses by is less.
_ROUNDING = 1e-3


def asked_counts(pred_mass: Tensor, gt_mass: Tensor) -> Tensor:
    """How many predictions each ground truth asks for, rounded up.

    Args:
        pred_mass (Tensor): (B, N), zero for padding.
        gt_mass (Tensor): (B, M + 1), zero for padding.

    Returns:
        Tensor: (B, M) int64.
    """
    num_preds = (pred_mass > 0).sum(1, keepdim=True)
    counts = (num_preds * gt_mass[:, :-1] - _ROUNDING).ceil()
    # A fraction of one prediction asks for one all the same.
    return counts.clamp(min=1).where(gt_mass[:, :-1] > 0, 0).long()


def repeat_columns(
    price: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor, int]:
    """Repeats columns as often as each is asked for.

    Args:
        price (Tensor): (B, N, M).
        counts (Tensor): (B, M) int64.

    Returns:
        tuple[Tensor, Tensor, int]: (B, N, M * K) prices, (B, M * K) bool,
        which columns count, and K, by which indices are to be divided.
    """
    K = int(counts.max()) if counts.numel() else 1
    if K <= 1:
        return price, counts > 0, 1
    copies = torch.arange(K, device=counts.device)
    live = copies < counts.unsqueeze(2)
    # Column by column in memory, as prices are.
    return price.mT.repeat_interleave(K, 1).mT, live.flatten(1), K


def greatest_of_each(values: Tensor, counts: Tensor) -> Tensor:
    """Chooses the greatest values of each column.

    Args:
        values (Tensor): (B, N, M), N and M positive.
        counts (Tensor): (B, M) int64, how many of each column.

    Returns:
        Tensor: (B, N, M) bool. Among equal values of one the first is taken.
    """
    chosen = torch.zeros_like(values.mT, dtype=torch.bool)
    K = min(int(counts.max()), values.shape[1])
    if K <= 1:
        first = values.argmax(1).unsqueeze(2)
        return chosen.scatter_(2, first, (counts > 0).unsqueeze(2)).mT
    rows = values.mT.topk(K, 2).indices
    wanted = torch.arange(K, device=counts.device) < counts.unsqueeze(2)
    return chosen.scatter_(2, rows, wanted).mT
