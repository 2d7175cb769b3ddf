"""Numbers that describe a plan."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ['has_one_to_one', 'heaviest_prediction', 'plan_entropy']

NOBODY = -1


def plan_entropy(weights: Tensor) -> Tensor:
    r"""Entropy of plans (paper, Def. 8).

    .. math::
        H(P) = -\sum_{ij} P_{ij} (\log P_{ij} - 1),
        \qquad \textstyle\sum_{ij} P_{ij} = 1.

    That of k pairs of equal mass is :math:`\log k + 1` (Lemma 3).

    Args:
        weights (Tensor): (B, N, M + 1) plans of any total mass.

    Returns:
        Tensor: (B,) float64, at least 1; 1 for a plan without mass.
    """
    flat = weights.double().flatten(1)
    mass = flat / flat.sum(1, keepdim=True)
    entropy: Tensor = torch.special.entr(mass.nan_to_num(nan=0.0))
    return entropy.sum(1) + 1


def heaviest_prediction(weights: Tensor) -> Tensor:
    r"""The prediction that gives a ground truth the most.

    .. math:: i^*(j) = \arg\max_i P_{ij}

    Args:
        weights (Tensor): (B, N, M + 1); the background is last.

    Returns:
        Tensor: (B, M) int64; the first one of several, -1 where a ground
        truth gets nothing.
    """
    foreground = weights[..., :-1]
    if 0 in foreground.shape:
        B, _, M = foreground.shape
        return torch.full((B, M), NOBODY, device=weights.device)
    weight, prediction = foreground.max(1)
    return prediction.masked_fill(weight == 0, NOBODY)


def has_one_to_one(weights: Tensor) -> Tensor:
    r"""Whether a ground truth and a prediction are there for each other.

    A prediction gives the ground truth more than half of what it gives, which
    is more than half of what the ground truth gets:

    .. math::
        \exists i: \quad
        P_{ij} > \tfrac{1}{2} \sum_{j'} P_{ij'}
        \quad \text{and} \quad
        P_{ij} > \tfrac{1}{2} \sum_{i'} P_{i'j},

    background included in the first sum. No prediction is there for two
    ground truths, nor a ground truth for two predictions.

    Args:
        weights (Tensor): (B, N, M + 1); the background is last.

    Returns:
        Tensor: (B, M) bool.
    """
    foreground = weights[..., :-1]
    most_of_row = foreground > weights.sum(2, keepdim=True) / 2
    most_of_column = foreground > foreground.sum(1, keepdim=True) / 2
    return (most_of_row & most_of_column).any(1)
