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
:math:`\tilde v = v / \bar v`. Exponents are formed in float64: their rounding
would otherwise be multiplied by :math:`1 / \epsilon` in the plan.

**When to absorb.** The iteration does not expand the sup norm. With
:math:`\lambda_i = \tau_i / (\tau_i + \epsilon)`, iteration k + 1 moves
:math:`\log u` and :math:`\log v` by at most

.. math::
    d_k = (\lambda_1 \lambda_2)^{k - 1} \Bigl(\log N + \log(M + 1)
          + \frac{r}{\tau_1 + \epsilon} \Bigr),

where r is the greatest row minimum of the cost (only a soft :math:`\tau_1`
needs it). The first iteration, and those that may move too far for a float,
run in the log domain; in between, the factors are absorbed before their moves
add up to what a float can carry. Sizes and parameters alone decide this:
nothing is read back from the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import Enum

import torch
from torch import Tensor

from .plan import TransportPlan
from .problem import MatchingProblem

__all__ = ['sinkhorn']

# r above. The background cost bounds the row minima.
_ROW_MINIMUM = 20.0

# How far a factor may move on one kernel, as a logarithm: entries at the floor
# may move with both factors, and must stay negligible.
_MAX_MOVE = {torch.float32: 32.0, torch.float64: 320.0}

# Bytes of float64 intermediates formed at a time, so that they stay in the
# cache; on other devices all images are taken at once.
_CHUNK_BYTES = {'cpu': 2**21}

_LEAST = torch.finfo(torch.float64).min

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
        num_iters (int): Number of iterations, at least 1. Defaults to 20.

    Returns:
        TransportPlan: Weights (B, N, M + 1) in the dtype of the cost, with
        potentials and marginal error.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    _check_parameters(epsilon, tau1, tau2, num_iters)
    scaling = _Scaling(problem, epsilon, tau1, tau2)
    for domain in _schedule(
        problem.cost.shape, problem.cost.dtype, epsilon, tau1, tau2, num_iters
    ):
        scaling.iterate(domain)
    return scaling.plan()


class _Domain(Enum):
    """Where an iteration works."""

    LOG = 'log-sum-exp over the costs'
    FRESH_KERNEL = 'a kernel that absorbs the scalings reached so far'
    KERNEL = 'the kernel of the iteration before'


def _schedule(
    shape: torch.Size,
    dtype: torch.dtype,
    epsilon: float | Tensor,
    tau1: float,
    tau2: float,
    num_iters: int,
) -> Iterator[_Domain]:
    """Yields where each iteration works, from the bound d_k above."""
    _, num_preds, num_columns = shape
    move = math.log(max(num_preds, num_columns))
    contraction, least_epsilon = 1.0, 0.0
    if not isinstance(epsilon, Tensor):
        for tau in (tau1, tau2):
            contraction *= 1.0 if math.isinf(tau) else tau / (tau + epsilon)
        least_epsilon = epsilon
    if 0 < tau1 < math.inf:
        move += _ROW_MINIMUM / (tau1 + least_epsilon)
    moved = math.inf
    yield _Domain.LOG
    for _ in range(num_iters - 1):
        if move > _MAX_MOVE[dtype]:
            yield _Domain.LOG
            moved = math.inf
        elif moved + move > _MAX_MOVE[dtype]:
            yield _Domain.FRESH_KERNEL
            moved = move
        else:
            yield _Domain.KERNEL
            moved += move
        move *= contraction


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
        log_u, log_v = self.pred.log_scaling, self.gt.log_scaling
        u, v = self.pred.factor, self.gt.factor
        total = self._sum(v, self.kernel)
        self.pred.update(total)
        error = (self.pred.factor - u).abs() * total
        weights = self.kernel.mul_(u).mul_(v.mT)
        return TransportPlan(
            weights=weights.mT,
            pred_mass=self.problem.pred_mass,
            gt_mass=self.problem.gt_mass,
            pred_potential=(self.epsilon * log_u).squeeze(1),
            gt_potential=(self.epsilon * log_v).squeeze(1),
            marginal_error=(error / self.num_preds).sum((1, 2)),
        )

    def _sum(self, factor: Tensor, kernel: Tensor) -> Tensor:
        """(B, 1, K) x (B, K, L) -> (B, 1, L)."""
        return torch.baddbmm(self.tiny, factor, kernel)

    def _log_kernel(self) -> Iterator[tuple[slice, Tensor]]:
        """Yields log(N K) in float64, for as many images as fit the cache."""
        size = _CHUNK_BYTES.get(self.cost.device.type)
        image = self.cost[:1].numel() * 8
        step = max(size // max(image, 1), 1) if size else len(self.cost)
        slope = torch.full_like(self.log_n, -1.0) / self.epsilon
        scratch = self.cost[:step].double()
        for start in range(0, len(self.cost), max(step, 1)):
            part = slice(start, start + step)
            cost = self.cost[part]
            exponent = scratch[: len(cost)].copy_(cost)
            yield part, exponent.mul_(slope[part]).add_(self.log_n[part])

    def _exp(self, exponent: Tensor, out: Tensor | None = None) -> Tensor:
        """exp in the solver's dtype, with the floor."""
        dtype = self.kernel.dtype
        if out is None:
            out = torch.empty_like(exponent, dtype=dtype)
        return out.copy_(exponent).clamp_(min=-_FLOOR[dtype]).exp_()

    def _log_sum(self, log_scaling: Tensor, axis: int) -> Tensor:
        """log(N K v) for axis 1, log(N K^T u) for axis 2."""
        sums = []
        for part, exponent in self._log_kernel():
            exponent += log_scaling[part]
            top = exponent.amax(axis, keepdim=True).clamp_(min=_LEAST)
            exponent -= top
            total = self._exp(exponent).sum(axis, keepdim=True)
            sums.append(total.double().log_() + top)
        return torch.cat(sums)

    def _absorb(self) -> None:
        """Moves the factors of u and v into the kernel."""
        self.pred.absorb()
        self.gt.absorb()
        self.kernel_is_current = True
        for part, exponent in self._log_kernel():
            exponent += self.pred.reference[part]
            exponent += self.gt.reference[part].mT
            self._exp(exponent, out=self.kernel[part])


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

    def update(self, total: Tensor) -> None:
        """x = (mass / sum)^lambda, for sums over the absorbed kernel."""
        self.factor = (self.gain * total**-self.exponent).to(self.dtype)


def _check_parameters(
    epsilon: float | Tensor, tau1: float, tau2: float, num_iters: int
) -> None:
    if not isinstance(epsilon, Tensor) and not 0 < epsilon < math.inf:
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
