"""One plan from several."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .plan import TransportPlan, WeightedPairs
from .sparse_plan import SparsePlan

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
        TransportPlan: Of pairs, if all plans are. Potentials and marginal
        errors are None unless all plans have them.
    """
    B, N, columns = shape
    plans = iter(plans)
    first = next(plans)
    if first.shape == shape:
        return first
    if isinstance(first, SparsePlan):
        kept = list(plans)
        sparse = [plan for plan in kept if isinstance(plan, SparsePlan)]
        if len(sparse) == len(kept):
            return _concatenate_pairs([first, *sparse], N, columns)
        plans = iter(kept)
    # Ground truths are the middle axis in memory.
    weights = first.weights.new_zeros((B, columns, N)).mT
    start, small = 0, []
    for plan in chain([first], plans):
        b, n, m = plan.weights.shape
        part = weights[start : start + b, :n]
        part[..., : m - 1] = plan.foreground
        part[..., -1] = plan.background
        start += b
        small.append(_small(plan, weights[:0]))
    return TransportPlan(weights=weights, **_vectors(small, N, columns))


def _small(plan: TransportPlan, weights: Tensor) -> TransportPlan:
    """The plan without its weights, which are copied."""
    return TransportPlan(
        weights,
        plan.pred_mass,
        plan.gt_mass,
        plan.pred_potential,
        plan.gt_potential,
        plan.marginal_error,
        plan.gt_range,
    )


def _concatenate_pairs(
    plans: list[SparsePlan], N: int, columns: int
) -> SparsePlan:
    starts = accumulate((len(plan.pred_mass) for plan in plans), initial=0)
    matched = [
        plan.matched._replace(image=plan.matched.image + start)
        for plan, start in zip(plans, starts)
    ]
    return SparsePlan(
        WeightedPairs(*map(torch.cat, zip(*matched))),
        background=torch.cat([_pad(plan.background, N) for plan in plans]),
        **_vectors(plans, N, columns),
    )


def _vectors(
    plans: Sequence[TransportPlan], N: int, columns: int
) -> dict[str, Any]:
    """All that plans of both forms hold of their images, padded."""
    return dict(
        pred_mass=torch.cat([_pad(plan.pred_mass, N) for plan in plans]),
        gt_mass=torch.cat([_pad_gts(plan.gt_mass, columns) for plan in plans]),
        pred_potential=_join(
            [plan.pred_potential for plan in plans],
            lambda potential: _pad(potential, N, -math.inf),
        ),
        gt_potential=_join(
            [plan.gt_potential for plan in plans],
            lambda potential: _pad_gts(potential, columns, -math.inf),
        ),
        marginal_error=_join([plan.marginal_error for plan in plans]),
        gt_range=_join_ranges(plans, columns),
    )


def _join(
    tensors: list[Tensor | None],
    pad: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> Tensor | None:
    present = [pad(tensor) for tensor in tensors if tensor is not None]
    return torch.cat(present) if len(present) == len(tensors) else None


def _join_ranges(
    plans: Sequence[TransportPlan], columns: int
) -> Tensor | None:
    if all(plan.gt_range is None for plan in plans):
        return None
    return torch.cat(
        [_pad_gts(plan.gt_bounds, columns) for plan in plans], dim=1
    )


def _pad(vectors: Tensor, length: int, value: float = 0.0) -> Tensor:
    """(..., n) to (..., length)."""
    return F.pad(vectors, (0, length - vectors.shape[-1]), value=value)


def _pad_gts(vectors: Tensor, length: int, value: float = 0.0) -> Tensor:
    """(..., m) to (..., length); the background stays last."""
    foreground = _pad(vectors[..., :-1], length - 1, value)
    return torch.cat((foreground, vectors[..., -1:]), dim=-1)
