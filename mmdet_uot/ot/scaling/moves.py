r"""How far an iteration of the scaling algorithm can move the scalings.

The iteration does not expand the sup norm: iteration k + 1 moves :math:`\log
u` and :math:`\log v` by at most

.. math::
    d_k = (\lambda_1 \lambda_2)^{k - 1}
          \Bigl(\log R + \frac{r}{\tau_1 + \epsilon} \Bigr), \qquad
    \lambda_i = \tau_i / (\tau_i + \epsilon),

where 1 / R is the least mass, max(N, n) for the masses of Prop. 1, and r, for
a soft :math:`\tau_1`, the greatest magnitude of a row minimum of the cost, or
of any cost.

Without a hard constraint :math:`\log P` may reach :math:`r / (\tau_1 +
\epsilon)`, or :math:`r / (\tau_2 + \epsilon)` for :math:`\tau_1 = 0`. Where
that is more than a factor may move, the bound is infinite.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..device import can_look
from ..numbers import Numbers
from ..problem import MatchingProblem

__all__ = ['MAX_MOVE', 'Moves', 'bound_moves']

# How far a factor may move on one kernel, as a logarithm: entries at the floor
# may move with both factors, and must stay negligible.
MAX_MOVE = {torch.float32: 32.0, torch.float64: 320.0}


class Moves(NamedTuple):
    """Bounds of the moves.

    Attributes:
        first (float): :math:`d_1`.
        contraction (float): :math:`d_{k + 1} / d_k`.
    """

    first: float
    contraction: float

    def total(self, num_iters: int) -> float:
        """Bound of the moves of some iterations together."""
        moved = num_iters * self.first
        if self.contraction < 1:
            moved = min(moved, self.first / (1 - self.contraction))
        return moved


def bound_moves(problem: MatchingProblem, numbers: Numbers) -> Moves:
    """The bounds, from what is known without reading a tensor.

    Args:
        problem (MatchingProblem): Of which the bounds are read.
        numbers (Numbers): An epsilon of each image counts as 0.

    Returns:
        Moves: Infinite where nothing is known.
    """
    first = math.log(problem.bounds.mass_ratio)
    contraction, epsilon = 1.0, 0.0
    if not isinstance(numbers.epsilon, Tensor):
        epsilon = numbers.epsilon
        contraction = float(numbers.power1) * float(numbers.power2)
    softness = (numbers.tau1 or numbers.tau2) + epsilon
    if math.isfinite(softness):
        level = _largest_cost(problem) / softness if softness else math.inf
        if level > MAX_MOVE[problem.cost.dtype]:
            return Moves(math.inf, 1.0)
        first += level
    return Moves(first, contraction)


def _largest_cost(problem: MatchingProblem) -> float:
    """What no cost's magnitude exceeds; infinity if that is not at hand."""
    largest = problem.bounds.max_cost
    if math.isfinite(largest) or not can_look(problem.cost):
        return largest
    # The memory behind the costs is contiguous in this order.
    return max(abs(float(end)) for end in problem.finite_cost.mT.aminmax())
