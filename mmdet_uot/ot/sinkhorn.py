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

**When to absorb.** The iteration does not expand the sup norm. With
:math:`\lambda_i = \tau_i / (\tau_i + \epsilon)`, iteration k + 1 moves
:math:`\log u` and :math:`\log v` by at most

.. math::
    d_k = (\lambda_1 \lambda_2)^{k - 1}
          \Bigl(\log R + \frac{r}{\tau_1 + \epsilon} \Bigr),

where 1 / R is the least mass, max(N, n) for the masses of Prop. 1, and r, for
a soft :math:`\tau_1`, the greatest row minimum of the cost. The first
iteration, and those that may move too far for a float, run in the log domain;
in between, the factors are absorbed before their moves add up to what a float
can carry. What is known of the problem beforehand decides this: nothing is
read back from the device.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from enum import Enum

import torch
from torch import Tensor

from .plan import TransportPlan
from .precision import full_precision
from .problem import MatchingProblem

__all__ = ['sinkhorn']

# How far a factor may move on one kernel, as a logarithm: entries at the floor
# may move with both factors, and must stay negligible.
_MAX_MOVE = {torch.float32: 32.0, torch.float64: 320.0}

# Bytes of exponents formed at a time, so that they stay in the cache; on other
# devices all images are taken at once.
_CHUNK_BYTES = {'cpu': 2**21}

# A product with more terms is cut, so that its rounding stays near 1e-5.
_SUM_LENGTH = 4096

# Exponents are formed in float32 if they are known to be below this.
_SMALL_EXPONENT = 128.0

# Kernel entries below exp(-floor) are raised to it. They stay negligible, no
# sum is zero, and no entry is a subnormal number, which are slow.
_FLOOR = {torch.float32: 80.0, torch.float64: 700.0}


def sinkhorn(
    problem: MatchingProblem,
    *,
    epsilon: float | Tensor,
    tau1: float = math.inf,
    tau2: float = math.inf,
    num_iters: int = 20,
) -> TransportPlan:
    r"""Solves regularised (unbalanced) optimal transport for a whole batch.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1) and masses.
        epsilon (float | Tensor): Entropic regularisation :math:`\epsilon >
            0`, in units of the cost; one number, or (B,) one per image.
        tau1 (float): Weight :math:`\tau_1 \geq 0` of the predictions' mass
            constraint; ``math.inf`` makes it hard. Defaults to inf.
        tau2 (float): Weight :math:`\tau_2 \geq 0` of the ground truths' mass
            constraint; ``math.inf`` makes it hard. Defaults to inf.
        num_iters (int): Number of iterations, at least 1. The limit is
            reached at the first for tau1 = 0, at the second for tau2 = 0.
            Defaults to 20.

    Returns:
        TransportPlan: Weights (B, N, M + 1) in the dtype of the cost, with
        potentials and marginal error.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    _check_parameters(problem, epsilon, tau1, tau2, num_iters)
    if problem.cost.numel() == 0:
        return _empty_plan(problem)
    with full_precision(problem.cost.device):
        scaling = _Scaling(problem, epsilon, tau1, tau2)
        for domain in _schedule(problem, epsilon, tau1, tau2, num_iters):
            scaling.iterate(domain)
        return scaling.plan()


class _Domain(Enum):
    """Where an iteration works."""

    LOG = 'log-sum-exp over the costs'
    FRESH_KERNEL = 'a kernel that absorbs the scalings reached so far'
    KERNEL = 'the kernel of the iteration before'


def _schedule(
    problem: MatchingProblem,
    epsilon: float | Tensor,
    tau1: float,
    tau2: float,
    num_iters: int,
) -> Iterator[_Domain]:
    """Yields where each iteration works, from the bound d_k above."""
    max_move = _MAX_MOVE[problem.cost.dtype]
    move = math.log(problem.bounds.mass_ratio)
    contraction, least_epsilon = 1.0, 0.0
    if not isinstance(epsilon, Tensor):
        for tau in (tau1, tau2):
            contraction *= 1.0 if math.isinf(tau) else tau / (tau + epsilon)
        least_epsilon = epsilon
    if 0 < tau1 < math.inf:
        move += problem.bounds.row_minimum / (tau1 + least_epsilon)
    moved = math.inf
    yield _Domain.LOG
    for _ in range(num_iters - 1):
        if move > max_move:
            yield _Domain.LOG
            moved = math.inf
        elif moved + move > max_move:
            yield _Domain.FRESH_KERNEL
            moved = move
        else:
            yield _Domain.KERNEL
            moved += move
        move = move * contraction if contraction else 0.0


class _Scaling:
    """The scalings u and v of a batch of problems.

    Ground truths are the middle axis, (B, M + 1, N), so that the long axis is
    contiguous and both half-steps are row-vector products. The number of
    predictions N multiplies kernel and masses, so that plans read as weights.
    """

    def __init__(
        self,
        problem: MatchingProblem,
        epsilon: float | Tensor,
        tau1: float,
        tau2: float,
    ) -> None:
        self.problem = problem
        dtype = problem.cost.dtype
        num_preds = problem.num_preds.double().clamp(min=1).view(-1, 1, 1)
        if isinstance(epsilon, Tensor):
            epsilon = epsilon.to(num_preds).view(-1, 1, 1)
        self.num_preds, self.epsilon = num_preds, epsilon
        self.pred = _Side(problem.pred_mass, num_preds, tau1, epsilon, dtype)
        self.gt = _Side(problem.gt_mass, num_preds, tau2, epsilon, dtype)
        self.log_n = num_preds.log()
        self.cost = problem.cost.mT
        self.wide = _exponent_dtype(problem, epsilon)
        self.kernel = torch.empty_like(self.cost)
        self.kernel_is_current = False
        # Keeps sums positive where every scaling has vanished.
        self.tiny = self.kernel.new_full((1, 1, 1), torch.finfo(dtype).tiny)
        columns = self.gt.live.sum(2, keepdim=True).clamp(min=1)
        self.gt.restart(-columns.double().log())

    def iterate(self, domain: _Domain) -> None:
        """Updates u, then v (Alg. 2, lines 6 and 7)."""
        if domain is _Domain.LOG:
            self.pred.restart_from(self._log_sum(self.gt.log_scaling.mT, 1))
            self.gt.restart_from(self._log_sum(self.pred.log_scaling, 2).mT)
            self.kernel_is_current = False
            return
        if domain is _Domain.FRESH_KERNEL:
            self._absorb()
        self.pred.update(self._sum(self.gt.factor, self.kernel))
        self.gt.update(self._sum(self.pred.factor, self.kernel.mT))

    def plan(self) -> TransportPlan:
        """P = u K v (Alg. 2, line 9), made in the place of the kernel."""
        if not self.kernel_is_current:
            self._absorb()
        weights = self.kernel.mul_(self.pred.factor)
        # The last half-step once more, with sums exact to the last digits.
        self.gt.update(weights.sum(2, keepdim=True).mT + self.tiny)
        weights *= self.gt.factor.mT
        log_u, log_v = self.pred.log_scaling, self.gt.log_scaling
        asked = self.pred.asked_mass(log_u)
        row_mass = weights.sum(1, keepdim=True)
        error = (torch.where(asked.isnan(), row_mass, asked) - row_mass).abs()
        return TransportPlan(
            weights=weights.mT,
            pred_mass=self.problem.pred_mass,
            gt_mass=self.problem.gt_mass,
            pred_potential=(self.epsilon * log_u).squeeze(1),
            gt_potential=(self.epsilon * log_v).squeeze(1),
            marginal_error=(error / self.num_preds).sum((1, 2)),
        )

    def _sum(self, factor: Tensor, kernel: Tensor) -> Tensor:
        """(B, 1, K) x (B, K, L) -> (B, 1, L), in short partial sums."""
        total = self.tiny
        for start in range(0, kernel.shape[1], _SUM_LENGTH):
            part = slice(start, start + _SUM_LENGTH)
            total = torch.baddbmm(total, factor[:, :, part], kernel[:, part])
        return total

    def _exponents(
        self, log_scaling: Tensor
    ) -> Iterator[tuple[slice, Tensor]]:
        """Yields log(N K) + log_scaling, for some images at a time."""
        image_bytes = max(self.cost[:1].numel() * self.wide.itemsize, 1)
        budget = _CHUNK_BYTES.get(self.cost.device.type, sys.maxsize)
        step = max(budget // image_bytes, 1)
        slope = (torch.full_like(self.log_n, -1.0) / self.epsilon).to(
            self.wide
        )
        shift = (log_scaling + self.log_n).to(self.wide)
        scratch = torch.empty_like(self.cost[:step], dtype=self.wide)
        for start in range(0, len(self.cost), step):
            part = slice(start, start + step)
            cost = self.cost[part].to(self.wide)
            out = scratch[: len(cost)]
            torch.addcmul(shift[part], cost, slope[part], out=out)
            yield part, out

    def _exp_(self, exponent: Tensor) -> Tensor:
        """exp in the solver's dtype, with the floor; may overwrite."""
        dtype = self.kernel.dtype
        return exponent.to(dtype).clamp_(min=-_FLOOR[dtype]).exp_()

    def _log_sum(self, log_scaling: Tensor, axis: int) -> Tensor:
        """log(N K v) for axis 1, log(N K^T u) for axis 2."""
        sums = []
        for _, exponent in self._exponents(log_scaling):
            top = exponent.amax(axis, keepdim=True).clamp_(
                min=torch.finfo(self.wide).min
            )
            total = self._exp_(exponent.sub_(top)).sum(axis, keepdim=True)
            sums.append(total.double().log_() + top)
        return torch.cat(sums)

    def _absorb(self) -> None:
        """Moves the factors of u and v into the kernel."""
        self.pred.absorb()
        self.gt.absorb()
        self.kernel_is_current = True
        log_v = self.gt.reference.to(self.wide).mT
        for part, exponent in self._exponents(self.pred.reference):
            self.kernel[part] = self._exp_(exponent.add_(log_v[part]))


class _Side:
    r"""One side's mass and its scaling, :math:`x = \bar x \tilde x`.

    Attributes:
        live (Tensor): (B, 1, K) bool, False for padding.
        reference (Tensor): (B, 1, K) float64, :math:`\log \bar x`.
        factor (Tensor): (B, 1, K), :math:`\tilde x`, zero for padding.
    """

    def __init__(
        self,
        mass: Tensor,
        num_preds: Tensor,
        tau: float,
        epsilon: float | Tensor,
        dtype: torch.dtype,
    ) -> None:
        self.live = (mass > 0).unsqueeze(1)
        self.log_mass = (mass.unsqueeze(1) * num_preds).log()
        self.exponent = 1.0 if math.isinf(tau) else tau / (tau + epsilon)
        self.dtype = dtype

    @property
    def log_scaling(self) -> Tensor:
        return self.reference + self.factor.double().log()

    def restart(self, log_scaling: Tensor) -> None:
        self.reference = torch.where(self.live, log_scaling, -math.inf)
        self.factor = self.live.to(self.dtype)

    def restart_from(self, log_sum: Tensor) -> None:
        """log x = lambda (log mass - log sum)."""
        self.restart(self.exponent * (self.log_mass - log_sum))

    def absorb(self) -> None:
        """Makes the scaling the new reference."""
        self.restart(self.log_scaling)
        log_gain = self.exponent * self.log_mass
        log_gain = log_gain - (1 - self.exponent) * self.reference
        # A sum that the floor raised leaves its scaling where it is.
        gain = log_gain.clamp(min=self.exponent * -_FLOOR[self.dtype]).exp()
        self.gain = torch.where(self.live, gain, 0.0).to(self.dtype)

    def asked_mass(self, log_scaling: Tensor) -> Tensor:
        """mass exp(-f / tau), what the scaling asks for; nan for tau = 0."""
        slope = 1 - 1 / (torch.ones_like(log_scaling) * self.exponent)
        asked = self.log_mass + torch.where(self.live, slope * log_scaling, 0)
        return asked.exp()

    def update(self, total: Tensor) -> None:
        """x = (mass / sum)^lambda, for sums over the absorbed kernel."""
        self.factor = (self.gain * total**-self.exponent).to(self.dtype)


def _exponent_dtype(
    problem: MatchingProblem, epsilon: float | Tensor
) -> torch.dtype:
    if isinstance(epsilon, Tensor):
        return torch.float64
    small = problem.bounds.max_cost / epsilon < _SMALL_EXPONENT
    return problem.cost.dtype if small else torch.float64


def _empty_plan(problem: MatchingProblem) -> TransportPlan:
    return TransportPlan(
        weights=torch.zeros_like(problem.cost),
        pred_mass=problem.pred_mass,
        gt_mass=problem.gt_mass,
        pred_potential=torch.zeros_like(problem.pred_mass).double(),
        gt_potential=torch.zeros_like(problem.gt_mass).double(),
        marginal_error=problem.pred_mass.new_zeros(len(problem.cost)),
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
