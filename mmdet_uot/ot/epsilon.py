"""How the entropic regularisation scales with the size of the problem."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = [
    'EPSILON_RULES',
    'scale_epsilon',
    'support_size',
]

# Name -> size whose entropy, log(size) + 1 (Lemma 3), epsilon is divided by.
EPSILON_RULES: dict[str, Callable[[int], int]] = {
    'log_2n': lambda num_preds: 2 * num_preds,
    'log_n': lambda num_preds: num_preds,
}


def scale_epsilon(
    num_preds: int, epsilon0: float = 0.12, rule: str = 'log_2n'
) -> float:
    r"""Entropic regularisation for a number of predictions.

    .. math::
        \epsilon = \frac{\epsilon_0}{\log(2 N_p) + 1} \text{ (log\_2n)},
        \qquad
        \epsilon = \frac{\epsilon_0}{\log(N_p) + 1} \text{ (log\_n)}.

    Args:
        num_preds (int): Number of predictions :math:`N_p`, at least 1.
        epsilon0 (float): Scale :math:`\epsilon_0`, in units of the cost.
            Defaults to 0.12.
        rule (str): ``'log_2n'`` (Sec. 4.1) or ``'log_n'`` (App. D.3).
            Defaults to ``'log_2n'``.

    Returns:
        float: :math:`\epsilon`, in units of the cost.

    Raises:
        ValueError: If ``rule`` is unknown or a number is out of range.
    """
    if rule not in EPSILON_RULES:
        raise ValueError(
            f'rule must be one of {sorted(EPSILON_RULES)}, got {rule!r}'
        )
    if num_preds < 1:
        raise ValueError(f'num_preds must be at least 1, got {num_preds}')
    if not 0 < epsilon0 < math.inf:
        raise ValueError(f'epsilon0 must be positive, got {epsilon0}')
    return epsilon0 / (math.log(EPSILON_RULES[rule](num_preds)) + 1)


def support_size(weights: Tensor) -> Tensor:
    r"""Size of the closest uniform match (paper, Prop. 8).

    .. math::
        k = \arg\max_k \frac{1}{k}
            \Bigl(2 \sum_{k \text{ greatest}} P_{ij} - 1\Bigr),
        \qquad \textstyle\sum_{ij} P_{ij} = 1.

    The size is a measured :math:`|\mathrm{spt}|` for Eq. (44),
    :math:`\epsilon = \epsilon_0 / (\log |\mathrm{spt}| + 1)`.

    Args:
        weights (Tensor): (B, N, M + 1) plans of any total mass.

    Returns:
        Tensor: (B,) int64, at least 1; 1 for a plan without mass.
    """
    flat = weights.flatten(1)
    mass = flat / flat.sum(1, keepdim=True)
    greatest = mass.sort(dim=1, descending=True).values.cumsum(1)
    k = torch.arange(1, flat.shape[1] + 1, device=flat.device)
    return ((2 * greatest - 1) / k).nan_to_num(nan=-1.0).argmax(1) + 1
