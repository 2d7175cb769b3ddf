"""One plan from several."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from .plan import TransportPlan

__all__ = ['concatenate']


def concatenate(
    plans: Iterable[TransportPlan], shape: tuple[int, int, int]
) -> TransportPlan:
    """Joins the plans of several batches, padded to one shape.

    Args:
        plans (Iterable[TransportPlan]): Of one dtype. Each is copied before
            the next is asked for: a generator holds one at a time.
        shape (tuple[int, int, int]): Of the result's weights, (B, N, M + 1).

    Returns:
        TransportPlan: Potentials and marginal errors are None unless all
        plans have them.
    """
    B, N, columns = shape
    weights, vectors, start = None, [], 0
    for plan in plans:
        b, n, m = plan.weights.shape
        if (b, n, m) == shape:
            return plan
        if weights is None:
            # Ground truths are the middle axis in memory.
            weights = plan.weights.new_zeros((B, columns, N)).mT
        part = weights[start : start + b, :n]
        part[..., : m - 1] = plan.foreground
        part[..., -1] = plan.background
        vectors.append(
            (
                _pad(plan.pred_mass, N, 0.0),
                _pad_before_last(plan.gt_mass, columns, 0.0),
                _pad(plan.pred_potential, N, -math.inf),
                _pad_before_last(plan.gt_potential, columns, -math.inf),
                plan.marginal_error,
            )
        )
        start += b
    return TransportPlan(
        weights,
        *(
            None if any(x is None for x in parts) else torch.cat(parts)
            for parts in zip(*vectors, strict=True)
        ),
    )


def _pad(vectors: Tensor | None, length: int, value: float) -> Tensor | None:
    """(b, n) to (b, length)."""
    if vectors is None:
        return None
    return F.pad(vectors, (0, length - vectors.shape[1]), value=value)


def _pad_before_last(
    vectors: Tensor | None, length: int, value: float
) -> Tensor | None:
    """(b, m) to (b, length); the background stays last."""
    if vectors is None:
        return None
    foreground = _pad(vectors[:, :-1], length - 1, value)
    return torch.cat((foreground, vectors[:, -1:]), dim=1)
