r"""The scaling algorithm, balanced and unbalanced (paper, Alg. 1 and 2).

Primal (Def. 4), with :math:`K = \exp(-C / \epsilon)`:

.. math::
    \min_P \; \epsilon \mathrm{KL}(P | K) + \tau_1 \mathrm{KL}(P 1 | \alpha)
    + \tau_2 \mathrm{KL}(P^\top 1 | \beta).

The algorithm starts from :math:`v = 1 / (n + 1)` and alternates

.. math::
    u \leftarrow (\alpha / K v)^{\tau_1 / (\tau_1 + \epsilon)}, \qquad
    v \leftarrow (\beta / K^\top u)^{\tau_2 / (\tau_2 + \epsilon)}, \qquad
    P = u K v.

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

**When to absorb.** The iteration does not expand the sup norm: iteration k + 1
moves :math:`\log u` and :math:`\log v` by at most

.. math::
    d_k = (\lambda_1 \lambda_2)^{k - 1}
          \Bigl(\log R + \frac{r}{\tau_1 + \epsilon} \Bigr),

where 1 / R is the least mass, max(N, n) for the masses of Prop. 1, and r, for
a soft :math:`\tau_1`, the greatest magnitude of a row minimum of the cost, or
of any cost. Iterations that may move too far for a float run in the
log domain; in between, the factors are absorbed before their moves add up to
what a float can carry. What is known of the problem beforehand decides this.
The CPU looks, which costs little there, and leaves factors that moved less in
place; from a GPU nothing is read back.

**How large a plan.** Without a hard constraint :math:`\log P` may reach
:math:`r / (\tau_1 + \epsilon)`, or :math:`r / (\tau_2 + \epsilon)` for
:math:`\tau_1 = 0`. Where that is more than a factor may move, all iterations
run in the log domain. A weight beyond the greatest float is that float.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..device import can_look
from ..epsilon import resolvable_epsilon
from ..plan import TransportPlan
from ..precision import full_precision
from ..problem import MatchingProblem
from .absorbed import Scaling
from .compiled import try_native
from .float64 import try_direct
from .triton import try_fused

__all__ = ['sinkhorn']

# How far a factor may move on one kernel, as a logarithm: entries at the floor
# may move with both factors, and must stay negligible.
_MAX_MOVE = {torch.float32: 32.0, torch.float64: 320.0}


def sinkhorn(
    problem: MatchingProblem,
    *,
    epsilon: float | Tensor,
    tau1: float = math.inf,
    tau2: float = math.inf,
    num_iters: int = 20,
    overwrite_cost: bool = False,
) -> TransportPlan:
    r"""Solves regularised (unbalanced) optimal transport for a whole batch.

    Who solves it depends on where it is, not what comes out. On a CPU,
    float32 problems are solved by the compiled library, if there is one
    (:func:`.compiled.try_native`). On a GPU with Triton, images that fit are
    solved in one launch (:func:`.triton.try_fused`), others, if their numbers
    are ordinary, in float64 (:func:`.float64.try_direct`). What remains is
    solved as written above.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1) and masses.
        epsilon (float | Tensor): Entropic regularisation :math:`\epsilon >
            0`, in units of the cost; one number, or (B,) one per image. At
            least 1e-15 of the greatest cost is taken.
        tau1 (float): Weight :math:`\tau_1 \geq 0` of the predictions' mass
            constraint; ``math.inf`` makes it hard. Defaults to inf.
        tau2 (float): Weight :math:`\tau_2 \geq 0` of the ground truths' mass
            constraint; ``math.inf`` makes it hard. Defaults to inf.
        num_iters (int): Number of iterations, at least 1. The limit is
            reached at the first for tau1 = 0, at the second for tau2 = 0.
            Defaults to 20.
        overwrite_cost (bool): Whether the plan may take the memory of
            ``problem.cost``, where that is faster. Defaults to False.

    Returns:
        TransportPlan: Weights (B, N, M + 1) in the dtype of the cost, with
        potentials and marginal error.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    _check_parameters(problem, epsilon, tau1, tau2, num_iters)
    if problem.cost.numel() == 0:
        return _empty_plan(problem)
    moves = _moves(problem, epsilon, tau1, tau2)
    numbers = (problem, resolvable_epsilon(problem, epsilon), tau1, tau2)
    with full_precision(problem.cost.device):
        plan = try_native(*numbers, num_iters, overwrite_cost)
        if plan is None:
            plan = try_fused(*numbers, num_iters)
        if plan is None:
            plan = try_direct(*numbers, num_iters, *moves)
        if plan is None:
            scaling = Scaling(*numbers)
            _iterate(scaling, *moves, num_iters)
            plan = scaling.plan()
        return plan


def _iterate(
    scaling: Scaling, move: float, contraction: float, num_iters: int
) -> None:
    """Runs the iterations, each where the bound d_k above lets it.

    Args:
        scaling (Scaling): Is changed.
        move (float): d_1.
        contraction (float): d_{k + 1} / d_k.
        num_iters (int): Number of iterations.
    """
    max_move = _MAX_MOVE[scaling.kernel.dtype]
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
        move = move * contraction if contraction else 0.0


def _moves(
    problem: MatchingProblem,
    epsilon: float | Tensor,
    tau1: float,
    tau2: float,
) -> tuple[float, float]:
    """The bound d_1 and the contraction of the bounds."""
    contraction, least_epsilon = 1.0, 0.0
    if not isinstance(epsilon, Tensor):
        for tau in (tau1, tau2):
            contraction *= 1.0 if math.isinf(tau) else tau / (tau + epsilon)
        least_epsilon = epsilon
    move = math.log(problem.bounds.mass_ratio)
    softness = (tau1 or tau2) + least_epsilon
    if math.isfinite(softness):
        level = _largest_cost(problem) / softness if softness else math.inf
        if level > _MAX_MOVE[problem.cost.dtype]:
            return math.inf, 1.0
        move += level
    return move, contraction


def _largest_cost(problem: MatchingProblem) -> float:
    """What no cost's magnitude exceeds; infinity if that is not at hand."""
    largest = problem.bounds.max_cost
    if math.isfinite(largest) or not can_look(problem.cost):
        return largest
    # The memory behind the costs is contiguous in this order.
    return max(abs(float(end)) for end in problem.cost.mT.aminmax())


def _empty_plan(problem: MatchingProblem) -> TransportPlan:
    return TransportPlan(
        weights=torch.zeros_like(problem.cost),
        pred_mass=problem.pred_mass,
        gt_mass=problem.gt_mass,
        pred_potential=torch.zeros_like(problem.pred_mass).double(),
        gt_potential=torch.zeros_like(problem.gt_mass).double(),
        marginal_error=problem.cost.new_zeros(len(problem.cost)).double(),
    )


def _check_parameters(
    problem: MatchingProblem,
    epsilon: float | Tensor,
    tau1: float,
    tau2: float,
    num_iters: int,
) -> None:
    if isinstance(epsilon, Tensor):
        if tuple(epsilon.shape) != problem.cost.shape[:1]:
            raise ValueError(
                'epsilon must be one number or one per image '
                f'({len(problem.cost)}), got shape {tuple(epsilon.shape)}'
            )
        if can_look(epsilon) and not bool(
            ((epsilon > 0) & epsilon.isfinite()).all()
        ):
            raise ValueError(
                f'epsilon must be positive and finite, got {epsilon.tolist()}'
            )
    elif not 0 < epsilon < math.inf:
        raise ValueError(
            f'epsilon must be positive and finite, got {epsilon}; for the '
            'exact matchings at epsilon = 0 use mmdet_uot.ot.solve'
        )
    for name, tau in (('tau1', tau1), ('tau2', tau2)):
        if not tau >= 0:
            raise ValueError(
                f'{name} must be in [0, inf], got {tau}; 0 drops the mass '
                'constraint, math.inf makes it hard'
            )
    if num_iters < 1:
        raise ValueError(f'num_iters must be at least 1, got {num_iters}')
