r"""The scalings u and v of a batch of problems; the steps of the algorithm.

See :mod:`.absorbed` for the mathematics. In memory ground truths are the
middle axis, (B, M + 1, N), so that the long axis is contiguous and both
half-steps are products of a row vector and a matrix. The number of predictions
N multiplies kernel and masses, so that plans read as weights.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from ..device import can_look
from ..numbers import Numbers
from ..plan import TransportPlan
from ..problem import MatchingProblem

__all__ = ['Scaling', 'exponent_dtype']

# Bytes worked on at a time, so that they stay in the cache; on other devices
# all images are taken at once.
_CHUNK_BYTES = {'cpu': 2**21}

# A product with more terms is cut, so that its rounding stays near 1e-5.
_SUM_LENGTH = 4096

# Exponents are formed in float32 if they are known to be below this.
_SMALL_EXPONENT = 160.0

# Kernel entries below exp(-floor) are raised to it. They stay negligible, no
# sum is zero, and no entry is a subnormal number, which are slow.
_FLOOR = {torch.float32: 80.0, torch.float64: 700.0}

# What a marginal beyond it counts as in the marginal error.
_GREATEST_MASS = torch.finfo(torch.float32).max

# The logarithm of what takes no part; finite, for differences.
_NOTHING = -1e30


class Scaling:
    """Iterates on u and v.

    Args:
        problem (MatchingProblem): Costs (B, N, M + 1) and masses.
        numbers (Numbers): See :class:`Numbers`.
    """

    def __init__(self, problem: MatchingProblem, numbers: Numbers) -> None:
        self.problem = problem
        dtype, epsilon = problem.cost.dtype, numbers.epsilon
        num_preds = problem.num_preds.double().clamp(min=1).view(-1, 1, 1)
        if isinstance(epsilon, Tensor):
            epsilon = epsilon.to(num_preds).view(-1, 1, 1)
        self.num_preds, self.epsilon = num_preds, epsilon
        self.log_n = num_preds.log()
        self.cost = problem.cost.mT
        self.wide = exponent_dtype(problem, epsilon)

        self.kernel = torch.empty_like(self.cost)
        self.column_parts = torch.split(self.kernel.mT, _SUM_LENGTH, 1)
        self.kernel_is_current = False
        self.pred = _Side(
            problem.pred_mass, num_preds, numbers.tau1, epsilon, dtype
        )
        self.gt = _Side(
            problem.gt_mass,
            num_preds,
            numbers.tau2,
            epsilon,
            dtype,
            problem.gt_range,
        )
        # Keeps sums positive where every scaling has vanished.
        self.tiny = self.kernel.new_full((1, 1, 1), torch.finfo(dtype).tiny)
        # Alg. 2, line 4: v = 1 / (n + 1).
        count = self.gt.live.sum(2, keepdim=True).clamp(min=1)
        self.gt.refer_to(-count.double().log().expand(self.gt.live.shape))

    def log_iteration(self) -> Tensor:
        """Updates u, then v (Alg. 2, lines 6 and 7), in the log domain.

        Returns:
            Tensor: (B,) share of the mass that the move of v moved.
        """
        before = self.gt.log_scaling
        self.pred.start_from(self._log_sum(before.mT, 1))
        log_sum = self._log_sum(self.pred.log_scaling, 2).mT
        self.gt.start_from(log_sum)
        self.kernel_is_current = False
        moved = (log_sum + self.gt.reference).exp()
        moved = (moved - (log_sum + before).exp()).abs()
        moved = torch.where(self.gt.live, moved, 0.0).sum((1, 2))
        return moved / self.num_preds.view(-1)

    def extrapolate(self, last: Tensor, factor: float) -> Tensor:
        """Moves log v on from what it was, by a factor further than now.

        Args:
            last (Tensor): (B, 1, M + 1) log v to start from.
            factor (float): Of the way to log v; 1 leaves it where it is.

        Returns:
            Tensor: (B, 1, M + 1) log v before.
        """
        log_v = self.gt.log_scaling
        if factor != 1:
            self.gt.refer_to(last.lerp(log_v, factor))
        return log_v

    def kernel_iteration(self) -> None:
        """Updates u, then v (Alg. 2, lines 6 and 7), on the kernel."""
        row_sum = _product(self.gt.factor, self.kernel)
        self.pred.update(row_sum + self.tiny)
        column_sum = self.tiny
        for factor, kernel in zip(
            torch.split(self.pred.factor, _SUM_LENGTH, 2), self.column_parts
        ):
            column_sum = column_sum + _product(factor, kernel)
        self.gt.update(column_sum)

    def reduce(self) -> None:
        """Makes the least costs the reference."""
        padding = torch.where(self.gt.live, 0.0, _NOTHING).mT
        tops = []
        for part, exponent in self._exponents(padding):
            rows = exponent.amax(1, keepdim=True)
            rows = rows * self.pred.exponent_of(part)
            # A prediction of padding is nobody's closest.
            exponent -= rows.where(self.pred.live[part], -_NOTHING)
            columns = exponent.amax(2, keepdim=True)
            columns = columns * self.gt.exponent_of(part)
            self._fill_kernel(part, exponent.sub_(columns))
            tops.append((rows, columns))
        rows, columns = (torch.cat(x).double() for x in zip(*tops))
        v = self.gt.log_scaling
        self.pred.refer_to(-rows)
        self.gt.refer_to(-columns.mT)
        self.gt.factor = (v - self.gt.reference).exp().to(self.kernel.dtype)
        self.gt.factor.masked_fill_(~self.gt.live, 0.0)
        self.kernel_is_current = True

    def absorb(self) -> None:
        """Moves the factors of u and v into the kernel."""
        self.pred.absorb()
        self.gt.absorb()
        self.kernel_is_current = True
        log_v = self.gt.reference.to(self.wide).mT
        for part, exponent in self._exponents(self.pred.log_scaling):
            self._fill_kernel(part, exponent.add_(log_v[part]))

    def moved(self) -> float:
        """How far log u and log v are from their references, at most.

        Infinity where that cannot be read without waiting for a device.
        """
        return sum(side.moved() for side in (self.pred, self.gt))

    def plan(self) -> TransportPlan:
        """P = u K v (Alg. 2, line 9)."""
        if not self.kernel_is_current:
            self.absorb()
        weights = self.kernel
        received, sent = [], []
        for part in self._parts():
            chunk = weights[part].mul_(self.pred.factor[part])
            received.append(chunk.sum(2, keepdim=True).mT)
        if self.gt.log_range is None:
            # The last half-step once more, its sums exact to the last digits.
            before, total = self.gt.factor, torch.cat(received) + self.tiny
            self.gt.update(total)
            self.gt.factor = self.gt.factor.where(total.isfinite(), before)
        most = torch.finfo(weights.dtype).max
        for part in self._parts():
            chunk = weights[part].mul_(self.gt.factor[part].mT)
            sent.append(chunk.clamp_(max=most).sum(1, keepdim=True))
        log_u, log_v = self.pred.log_scaling, self.gt.log_scaling
        asked = self.pred.asked_mass().clamp(max=_GREATEST_MASS)
        row_mass = torch.cat(sent).clamp(max=_GREATEST_MASS)
        error = (torch.where(asked.isnan(), row_mass, asked) - row_mass).abs()
        return TransportPlan(
            weights=weights.mT,
            pred_mass=self.problem.pred_mass,
            gt_mass=self.problem.gt_mass,
            pred_potential=(self.epsilon * log_u).squeeze(1),
            gt_potential=(self.epsilon * log_v).squeeze(1),
            marginal_error=(error / self.num_preds).sum((1, 2)),
            gt_range=self.problem.gt_range,
        )

    def _parts(self) -> Iterator[slice]:
        """Yields some images at a time."""
        entry_bytes = torch.finfo(self.wide).bits // 8
        image_bytes = max(self.cost[:1].numel() * entry_bytes, 1)
        budget = _CHUNK_BYTES.get(self.cost.device.type, sys.maxsize)
        step = max(budget // image_bytes, 1)
        for start in range(0, len(self.cost), step):
            yield slice(start, start + step)

    def _exponents(
        self, log_scaling: Tensor
    ) -> Iterator[tuple[slice, Tensor]]:
        """Yields log(N K) + log_scaling, for some images at a time."""
        slope = torch.full_like(self.log_n, -1.0).div_(self.epsilon)
        slope = slope.to(self.wide)
        shift = (log_scaling + self.log_n).to(self.wide)
        scratch = None
        for part in self._parts():
            cost = self.cost[part].to(self.wide)
            if scratch is None:
                scratch = torch.empty_like(cost)
            out = scratch[: len(cost)]
            torch.addcmul(shift[part], cost, slope[part], out=out)
            yield part, out

    def _fill_kernel(self, part: slice, exponent: Tensor) -> None:
        """exp of the exponents of some images; overwrites them."""
        kernel = self.kernel[part]
        if not self.problem.bounds.excludes:
            torch.exp(self._floored(exponent), out=kernel)
            return
        excluded = exponent.isneginf()
        torch.exp(self._floored(exponent), out=kernel)
        kernel.masked_fill_(excluded, 0.0)

    def _floored(self, exponent: Tensor) -> Tensor:
        """In the solver's dtype, not below the floor; overwrites."""
        dtype = self.kernel.dtype
        return exponent.to(dtype).clamp_(min=-_FLOOR[dtype])

    def _log_sum(self, log_scaling: Tensor, axis: int) -> Tensor:
        """log(N K v) for axis 1, log(N K^T u) for axis 2."""
        sums = []
        for _, exponent in self._exponents(log_scaling):
            top = exponent.amax(axis, keepdim=True).clamp_(
                min=torch.finfo(self.wide).min
            )
            exponent = self._floored(exponent.sub_(top))
            total = exponent.exp_().sum(axis, keepdim=True)
            sums.append(total.double().log_() + top)
        return torch.cat(sums)


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
        mass_range: Tensor | None = None,
    ) -> None:
        self.mass = mass.unsqueeze(1) * num_preds
        self.live = self.mass > 0
        self.exponent = 1.0 if math.isinf(tau) else tau / (tau + epsilon)
        self.is_hard = math.isinf(tau)
        self.dtype = dtype
        self.log_range = None
        if mass_range is not None:
            # Finite, so that tau = 0 can be multiplied with it.
            log_range = (mass_range.double().unsqueeze(2) * num_preds).log()
            self.log_range = log_range.clamp(_NOTHING, -_NOTHING)

    @property
    def log_scaling(self) -> Tensor:
        return self.reference + self.factor.double().log()

    def exponent_of(self, part: slice) -> float | Tensor:
        """The exponent of some images."""
        if isinstance(self.exponent, Tensor):
            return self.exponent[part]
        return self.exponent

    def start_from(self, log_sum: Tensor) -> None:
        """log x = lambda (log mass - log sum), or what a range makes of it."""
        if self.log_range is None:
            self.refer_to(self.exponent * (self.mass.log() - log_sum))
            return
        least, most = self.exponent * (self.log_range - log_sum)
        self.refer_to(torch.minimum(least.clamp(min=0.0), most))

    def refer_to(self, log_scaling: Tensor) -> None:
        """Makes a scaling the reference, and the scaling equal to it."""
        self.reference = torch.where(self.live, log_scaling, -math.inf)
        self.factor = self.live.to(self.dtype)
        if self.is_hard:
            self.gain = self.mass.to(self.dtype)
            return
        log_gain = self.exponent * self.mass.log()
        log_gain = log_gain - (1 - self.exponent) * self.reference
        # A sum that the floor raised leaves its scaling where it is.
        gain = log_gain.clamp(min=self.exponent * -_FLOOR[self.dtype]).exp()
        self.gain = torch.where(self.live, gain, 0.0).to(self.dtype)

    def absorb(self) -> None:
        """Makes the scaling the new reference."""
        self.refer_to(self.log_scaling)

    def moved(self) -> float:
        """The greatest magnitude of log factor, infinity if not at hand."""
        if not can_look(self.factor):
            return math.inf
        least, most = torch.where(self.live, self.factor, 1.0).aminmax()
        low, high = float(least.numpy()), float(most.numpy())
        return max(math.log(high), -math.log(low)) if low > 0 else math.inf

    def asked_mass(self) -> Tensor:
        """mass exp(-f / tau), what the scaling asks for; nan for tau = 0."""
        log_scaling = self.log_scaling
        slope = 1 - 1 / (torch.ones_like(log_scaling) * self.exponent)
        asked = self.mass.log() + torch.where(
            self.live, slope * log_scaling, 0
        )
        return asked.exp()

    def update(self, total: Tensor) -> None:
        """x = (mass / sum)^lambda, for sums over the absorbed kernel."""
        if self.is_hard:
            self.factor = self.gain / total
        else:
            self.factor = (self.gain * total**-self.exponent).to(self.dtype)


def _product(vector: Tensor, matrix: Tensor) -> Tensor:
    """(B, 1, K) times (B, K, L), which no setting of torch shortens."""
    if can_look(matrix):
        return torch.bmm(vector, matrix)
    return (vector.mT * matrix).sum(1, keepdim=True)


def exponent_dtype(
    problem: MatchingProblem, epsilon: float | Tensor
) -> torch.dtype:
    """The dtype that carries cost / epsilon with enough digits."""
    if isinstance(epsilon, Tensor):
        return torch.float64
    small = problem.bounds.max_cost / epsilon < _SMALL_EXPONENT
    return problem.cost.dtype if small else torch.float64
