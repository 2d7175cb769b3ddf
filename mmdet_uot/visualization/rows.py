"""Which predictions a figure draws, where it cannot draw all."""

from __future__ import annotations

import numpy as np

__all__ = ['leading_rows', 'sort_rows']


def leading_rows(weights: np.ndarray, count: int) -> np.ndarray:
    """Picks the predictions that say most about a matching.

    First come the heaviest prediction of each ground truth, then the second
    heaviest of each and so on: no ground truth is left out for another one
    that has many.

    Args:
        weights (np.ndarray): (N, M) foreground weights.
        count (int): How many predictions to pick.

    Returns:
        np.ndarray: At most ``count`` indices, the most important first.
    """
    N, M = weights.shape
    if M == 0:
        return np.arange(min(N, count))
    mass, best = weights.max(1), weights.argmax(1)
    order = np.lexsort((-mass, best))
    _, start = np.unique(best[order], return_index=True)
    rank = np.empty(N, int)
    rank[order] = np.arange(N) - np.repeat(start, np.diff(start, append=N))
    # Whoever gives nothing is nobody's second heaviest.
    return np.lexsort((-mass, rank, mass == 0))[:count]


def sort_rows(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Sorts predictions by the ground truth that they give most to.

    Args:
        weights (np.ndarray): (N, M) foreground weights.
        rows (np.ndarray): Indices of predictions.

    Returns:
        np.ndarray: The same indices; those of one ground truth by their
        mass, and those that give nothing last.
    """
    if weights.shape[1] == 0:
        return rows
    mass, best = weights[rows].max(1), weights[rows].argmax(1)
    return rows[np.lexsort((-mass, best, mass == 0))]
