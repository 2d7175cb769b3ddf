"""Ground truths that ask for several predictions, as repeated columns."""

from __future__ import annotations

import torch
from torch import Tensor

from .assignment import assign_one_to_one
from .device import can_look

__all__ = ['asked_counts', 'assign_repeatedly', 'greatest_of_each']

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
    wanted = gt_mass[:, :-1]
    num_preds = pred_mass.sign().sum(1, keepdim=True)
    counts = (num_preds * wanted - _ROUNDING).ceil()
    # A fraction of one prediction asks for one all the same.
    return torch.maximum(counts, wanted.sign()).long()


def assign_repeatedly(
    price: Tensor, pred_live: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The matching of the least total price, columns taken several times.

    Args:
        price (Tensor): (B, N, M), see :func:`assign_one_to_one`.
        pred_live (Tensor): (B, N), True or positive, zero for padding.
        counts (Tensor): (B, M) int64, how many predictions each takes.

    Returns:
        tuple[Tensor, Tensor, Tensor]: (K,) int64 image, prediction and ground
        truth of the pairs, sorted by image, ground truth and prediction.
    """
    most = int(counts.max()) if counts.numel() else 1
    if most <= 1:
        return assign_one_to_one(price, pred_live, counts)
    copies = torch.arange(most, device=counts.device)
    image, prediction, column = assign_one_to_one(
        # Column by column in memory, as prices are.
        price.mT.repeat_interleave(most, 1).mT,
        pred_live,
        (copies < counts.unsqueeze(2)).flatten(1),
    )
    ground_truth = column // most
    place = (image * counts.shape[1] + ground_truth) * price.shape[1]
    order = (place + prediction).argsort()
    return image[order], prediction[order], ground_truth[order]


def greatest_of_each(values: Tensor, counts: Tensor) -> Tensor:
    """Chooses the greatest values of each column.

    Args:
        values (Tensor): (B, N, M), N and M positive.
        counts (Tensor): (B, M) int64, how many of each column.

    Returns:
        Tensor: (B, N, M) bool. Among equal values of one the first is taken.
    """
    chosen = torch.zeros_like(values.mT, dtype=torch.bool)
    if not can_look(counts):
        ranks = torch.arange(values.shape[1], device=counts.device)
        rows = values.mT.argsort(dim=2, descending=True, stable=True)
        return chosen.scatter_(2, rows, ranks < counts.unsqueeze(2)).mT
    K = min(int(counts.max()), values.shape[1])
    if K <= 1:
        first = values.argmax(1).unsqueeze(2)
        return chosen.scatter_(2, first, (counts > 0).unsqueeze(2)).mT
    rows = values.mT.topk(K, 2).indices
    wanted = torch.arange(K, device=counts.device) < counts.unsqueeze(2)
    return chosen.scatter_(2, rows, wanted).mT
