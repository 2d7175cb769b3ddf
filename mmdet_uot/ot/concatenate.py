"""One plan from several."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .plan import TransportPlan

__all__ = ['concatenate']


def concatenate(plans: Sequence[TransportPlan]) -> TransportPlan:
    """Joins the plans of several batches, padded to one shape.

    Args:
        plans (Sequence[TransportPlan]): At least one, of one dtype.

    Returns:
        TransportPlan: Weights (sum of B, max N, max M + 1). Potentials are
        None unless all plans have them.
    """
    if len(plans) == 1:
        return plans[0]
    N = max(plan.weights.shape[1] for plan in plans)
    M = max(plan.weights.shape[2] for plan in plans) - 1

    def pad_preds(x: Tensor, value: float = 0.0) -> Tensor:
        return F.pad(x, (0, N - x.shape[-1]), value=value)

    def pad_gts(x: Tensor, value: float = 0.0, axis: int = 1) -> Tensor:
        m = x.shape[axis] - 1
        shape = list(x.shape)
        shape[axis] = M - m
        parts = x.narrow(axis, 0, m), x.narrow(axis, m, 1)
        return torch.cat((parts[0], x.new_full(shape, value), parts[1]), axis)

    def join(
        name: str, pad: Callable[..., Tensor], value: float = 0.0
    ) -> Tensor | None:
        tensors = [getattr(plan, name) for plan in plans]
        if any(tensor is None for tensor in tensors):
            return None
        return torch.cat([pad(tensor, value) for tensor in tensors])

    return TransportPlan(
        # Ground truths are the middle axis in memory.
        weights=torch.cat(
            [pad_gts(pad_preds(plan.weights.mT)) for plan in plans]
        ).mT,
        pred_mass=torch.cat([pad_preds(plan.pred_mass) for plan in plans]),
        gt_mass=torch.cat([pad_gts(plan.gt_mass) for plan in plans]),
        pred_potential=join('pred_potential', pad_preds, -math.inf),
        gt_potential=join('gt_potential', pad_gts, -math.inf),
        marginal_error=join('marginal_error', lambda error, value: error),
    )
