r"""The scaling algorithm on any torch device, with scalings absorbed.

**Range.** :math:`\epsilon` is some hundredths of the range of the costs, so
K has entries below the smallest float. Most iterations therefore work on an
*absorbed* kernel, the plan of reference scalings :math:`(\bar u, \bar v)`,

.. math::
    \tilde K = N \exp(\log \bar u + \log \bar v - C / \epsilon),

on which u and v only carry the factors :math:`\tilde u = u / \bar u` and
:math:`\tilde v = v / \bar v`. Exponents are formed in float64, unless the
costs are known to be small: their rounding is multiplied by :math:`1 /
\epsilon` in the plan.

**Where to start.** The first reference is that of the least costs,

.. math::
    \epsilon \log \bar u_i = \lambda_1 \min_j C_{ij}, \qquad
    \epsilon \log \bar v_j
    = \lambda_2 \min_i (C_{ij} - \epsilon \log \bar u_i), \qquad
    \lambda_i = \tau_i / (\tau_i + \epsilon),

so that, with hard constraints, every row and every column of the kernel has an
entry of 1.

**When to absorb.** Iterations that may move too far for a float
(:mod:`.moves`) run in the log domain; in between, the factors are
absorbed before their moves add up to what a float can carry. What is known of
the problem beforehand decides this. The CPU looks, which costs nothing there,
and leaves factors that moved less in place; from a GPU nothing is read back.
"""

from __future__ import annotations

import math

from ..device import can_look
from ..numbers import Numbers
from ..plan import TransportPlan
from ..problem import MatchingProblem
from .moves import MAX_MOVE, Moves, bound_moves
from .scalings import Scaling

__all__ = ['accepts', 'solve']


def accepts(problem: MatchingProblem, numbers: Numbers) -> bool:
    """Any problem, on any device."""
    return True


def solve(
    problem: MatchingProblem, numbers: Numbers, overwrite_cost: bool = False
) -> TransportPlan:
    """Solves as written above.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1), not empty.
        numbers (Numbers): See :class:`Numbers`.
        overwrite_cost (bool): Not used.

    Returns:
        TransportPlan: With potentials and marginal error.
    """
    scaling = Scaling(problem, numbers)
    if numbers.is_plain and problem.gt_range is None:
        _iterate(scaling, bound_moves(problem, numbers), numbers.num_iters)
    else:
        _iterate_relaxed(scaling, numbers)
    return scaling.plan()


def _iterate(scaling: Scaling, moves: Moves, num_iters: int) -> None:
    """Runs the iterations, each where the bound of its move lets it."""
    move = moves.first
    max_move = MAX_MOVE[scaling.kernel.dtype]
    # The first factors: sums of up to M + 1 entries around those of the mass.
    moved = move + 2 * math.log(scaling.kernel.shape[2])
    if moved > max_move:
        scaling.log_iteration()
        moved = math.inf
    else:
        scaling.reduce()
        scaling.kernel_iteration()
    for _ in range(num_iters - 1):
        if move > max_move:
            scaling.log_iteration()
            moved = math.inf
        else:
            if moved + move > max_move and scaling.kernel_is_current:
                moved = scaling.moved()
            if moved + move > max_move:
                scaling.absorb()
                moved = 0.0
            scaling.kernel_iteration()
            moved += move
        move = move * moves.contraction if moves.contraction else 0.0


def _iterate_relaxed(scaling: Scaling, numbers: Numbers) -> None:
    """Runs iterations without a bound of their moves, in the log domain."""
    last = scaling.gt.log_scaling
    for done in range(numbers.num_iters - 1):
        left = scaling.log_iteration() * (numbers.num_iters - 1 - done)
        if can_look(left) and bool((left < numbers.tol).all()):
            return
        last = scaling.extrapolate(last, numbers.factor(done))
    scaling.log_iteration()
