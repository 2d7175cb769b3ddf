r"""How far an iteration of the scaling algorithm can move the scalings.

The iteration does not expand the sup norm: iteration k + 1 moves :math:`\log
u` and :math:`\log v` by at most

.. math::
    d_k = (\lambda_1 \lambda_2)^{k - 1}
          \Bigl(\log R + \frac{r}{\tau_1 + \epsilon} \Bigr), \qquad
    \lambda_i = \tau_i / (\tau_i + \epsilon),

where 1 / R is the least mass, max(N, n) for the masses of Prop. 1, and r, for
a soft :math:`\tau_1`, the greatest row minimum of the cost.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from ..numbers import Numbers
from ..problem import MatchingProblem

__all__ = ['Moves', 'bound_moves']


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
    if 0 < numbers.tau1 < math.inf:
        first += problem.bounds.row_minimum / (numbers.tau1 + epsilon)
    return Moves(first, contraction)
