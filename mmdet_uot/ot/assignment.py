"""One-to-one assignment on the CPU, by SciPy."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

__all__ = ['assign_one_to_one']


def assign_one_to_one(
    price: Tensor, pred_live: Tensor, gt_live: Tensor
) -> Tensor:
    """The one-to-one matching of the least total price, for each image.

    Args:
        price (Tensor): (B, N, M) price of each pair.
        pred_live (Tensor): (B, N) bool, False for padding.
        gt_live (Tensor): (B, M) bool, False for padding.

    Returns:
        Tensor: (B, N) int64 ground truth index, -1 for those left over. All
        ground truths are matched, or as many as there are predictions.
    """
    indices = torch.full_like(pred_live, -1, dtype=torch.int64)
    pred_live, gt_live = pred_live.cpu(), gt_live.cpu()
    for image, values in enumerate(price.cpu().double()):
        rows = pred_live[image].nonzero()[:, 0]
        columns = gt_live[image].nonzero()[:, 0]
        # Transposed, as costs are in memory and as SciPy solves tall ones.
        live = values.mT[columns]
        if len(rows) < len(values):
            live = live[:, rows]
        column, row = linear_sum_assignment(live.numpy())
        indices[image, rows[row]] = columns[column].to(indices.device)
    return indices
