"""One plan from several."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain

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
        plans (Iterable[TransportPlan]): At least one, of one dtype. Each is
            copied before the next is asked for: a generator holds one at a
            time.
        shape (tuple[int, int, int]): Of the result's weights, (B, N, M + 1).

    Returns:
        TransportPlan: Potentials and marginal errors are None unless all
        plans have them.
    """
    B, N, columns = shape
    plans = iter(plans)
    first = next(plans)
    if tuple(first.weights.shape) == shape:
        return first
    # Ground truths are the middle axis in memory.
    weights = first.weights.new_zeros((B, columns, N)).mT
    start, small = 0, []
    for plan in chain([first], plans):
        b, n, m = plan.weights.shape
        part = weights[start : start + b, :n]
        part[..., : m - 1] = plan.foreground
        part[..., -1] = plan.background
        start += b
        small.append(replace(plan, weights=weights[:0]))
    return TransportPlan(
        weights=weights,
        pred_mass=torch.cat([_pad(plan.pred_mass, N) for plan in small]),
        gt_mass=torch.cat([_pad_gts(plan.gt_mass, columns) for plan in small]),
        pred_potential=_join(
            [plan.pred_potential for plan in small],
            lambda potential: _pad(potential, N, -math.inf),
        ),
        gt_potential=_join(
            [plan.gt_potential for plan in small],
            lambda potential: _pad_gts(potential, columns, -math.inf),
        ),
        marginal_error=_join([plan.marginal_error for plan in small]),
    )


def _join(
    tensors: list[Tensor | None],
    pad: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> Tensor | None:
    present = [pad(tensor) for tensor in tensors if tensor is not None]
    return torch.cat(present) if len(present) == len(tensors) else None


def _pad(vectors: Tensor, length: int, value: float = 0.0) -> Tensor:
    """(b, n) to (b, length)."""
    return F.pad(vectors, (0, length - vectors.shape[1]), value=value)


def _pad_gts(vectors: Tensor, length: int, value: float = 0.0) -> Tensor:
    """(b, m) to (b, length); the background stays last."""
    foreground = _pad(vectors[:, :-1], length - 1, value)
    return torch.cat((foreground, vectors[:, -1:]), dim=1)
