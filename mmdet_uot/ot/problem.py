"""The matching problem: costs and masses of a batch of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from .device import to_device
from .finite import replace_non_finite

__all__ = ['Bounds', 'MatchingProblem', 'valid_mask']


class Bounds(NamedTuple):
    """What is known of a problem without reading its tensors.

    The solver chooses by it where it can be fast; what is not known costs
    time, never precision.

    Attributes:
        max_cost (float): No cost exceeds this in magnitude.
        mass_ratio (float): No positive mass is less than the total mass
            divided by this.
        finite_padding (bool): The costs in the padding are finite.
        num_preds (tuple[int, ...], optional): Numbers of predictions with
            mass.
        excludes (bool): A cost of infinity excludes a pair: it gets no mass,
            exactly. Every row and column with mass has another entry.
        one_each (bool): No ground truth asks for more than one prediction.
    """

    max_cost: float = math.inf
    mass_ratio: float = math.inf
    finite_padding: bool = False
    num_preds: tuple[int, ...] | None = None
    excludes: bool = False
    one_each: bool = False


@dataclass(frozen=True, eq=False)
class MatchingProblem:
    r"""Costs and masses of a batch of matching problems (paper, Prop. 1).

    Image :math:`b` has :math:`N` predictions and :math:`n` ground truths, to
    which the background is added as a last one:

    .. math::
        \alpha = \tfrac{1}{N} [1, \dots, 1], \qquad
        \beta = \tfrac{1}{N} [1, \dots, 1, N - n].

    A ground truth may ask for the mass of :math:`k_j` predictions instead of
    one, :math:`\beta_j = k_j / N`; the background has the rest, :math:`(N -
    \sum_j k_j) / N`. Where they ask for more than there is, the background
    has no mass and the ground truths share that of the predictions in
    proportion, :math:`\beta_j = k_j / \sum_j k_j`.

    An entry of mass zero is padding: whatever its costs hold (NaN included),
    it receives no mass and changes nothing elsewhere. Any other cost that is
    NaN or infinite is replaced by twice the greatest finite magnitude of its
    image: such a pair is the last to be matched. With ``bounds.excludes`` a
    pair that costs infinity is not matched at all.

    Args:
        cost (Tensor): (B, N, M + 1), any floating dtype; half precision is
            promoted to float32. The last column is the background.
        pred_mass (Tensor): (B, N), :math:`\alpha`, zero for padding.
        gt_mass (Tensor): (B, M + 1), :math:`\beta`, zero for padding.
        bounds (Bounds): What is known of the numbers. Defaults to nothing.
        gt_range (Tensor, optional): (2, B, M + 1) least and greatest mass of
            ground truths and background; deviations from it cost what tau2
            says, between there is no constraint:

            .. math::
                \tau_2 \min_{l_j \leq \beta_j \leq h_j}
                \mathrm{KL}(P^\top 1 | \beta).

            The least may be 0, the greatest infinity; of ``gt_mass`` it then
            only counts what is zero. Defaults to None, a fixed mass.

    Raises:
        TypeError: If an argument is not a floating tensor.
        ValueError: If the shapes do not fit.
    """

    cost: Tensor
    pred_mass: Tensor
    gt_mass: Tensor
    bounds: Bounds = field(default_factory=Bounds)
    gt_range: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ('cost', 'pred_mass', 'gt_mass'):
            value = getattr(self, name)
            if not isinstance(value, Tensor) or not value.is_floating_point():
                raise TypeError(
                    f'{name} must be a floating tensor, got '
                    f'{_describe(value)}; convert it with .float()'
                )
        if self.cost.dim() != 3 or self.cost.shape[2] == 0:
            raise ValueError(
                'cost must be (B, N, M + 1) with the background as its last '
                f'column, got shape {tuple(self.cost.shape)}; use '
                'MatchingProblem.from_costs to add the background'
            )
        B, N, columns = self.cost.shape
        for name, shape in (('pred_mass', (B, N)), ('gt_mass', (B, columns))):
            if tuple(getattr(self, name).shape) != shape:
                raise ValueError(
                    f'{name} must be {shape} for a cost of shape '
                    f'{tuple(self.cost.shape)}, got '
                    f'{tuple(getattr(self, name).shape)}'
                )
        dtype = _solver_dtype(self.cost)
        if self.gt_range is not None:
            if tuple(self.gt_range.shape) != (2, B, columns):
                raise ValueError(
                    f'gt_range must be {(2, B, columns)}, least and greatest '
                    f'masses, got {_describe(self.gt_range)}'
                )
            bounds = self.gt_range.detach().to(dtype).contiguous()
            object.__setattr__(self, 'gt_range', bounds)
        for name in ('cost', 'pred_mass', 'gt_mass'):
            value = getattr(self, name).detach().to(dtype)
            object.__setattr__(self, name, value)
        if not self.bounds.finite_padding:
            object.__setattr__(self, 'cost', self._clean_cost())

    def _clean_cost(self) -> Tensor:
        """The cost, zero in the padding and finite."""
        clean = self.cost.masked_fill(self.padding, 0.0)
        # Even without mass the background cost is a threshold.
        no_row = self.pred_mass == 0
        clean[..., -1] = self.cost[..., -1].masked_fill(no_row, 0.0)
        if self.bounds.excludes:
            finite = replace_non_finite(clean.masked_fill(clean.isinf(), 0.0))
            return torch.where(clean.isinf(), clean, finite)
        return replace_non_finite(clean)

    @classmethod
    def from_costs(
        cls,
        costs: Sequence[Tensor],
        background_cost: float | Sequence[Tensor],
    ) -> MatchingProblem:
        """Pads the costs of several images and adds the background.

        Args:
            costs (Sequence[Tensor]): One (N_b, m_b) cost per image, at least
                one image, all of one dtype and device.
            background_cost (float | Sequence[Tensor]): Cost of matching a
                prediction to the background: one number, or one (N_b,)
                tensor per image.

        Returns:
            MatchingProblem: Cost (B, max N_b, max m_b + 1).

        Raises:
            TypeError: If ``costs`` is not a sequence of tensors.
            ValueError: If ``costs`` is empty or shapes do not fit.
        """
        if isinstance(costs, Tensor) or not all(
            isinstance(cost, Tensor) for cost in costs
        ):
            raise TypeError(
                'costs must be a sequence of (N, m) tensors, one per image, '
                f'got {_describe(costs)}; for one image pass [cost]'
            )
        if not costs:
            raise ValueError('costs must hold at least one image, got none')
        for index, cost in enumerate(costs):
            if cost.dim() != 2:
                raise ValueError(
                    f'costs[{index}] must be (N, m), got shape '
                    f'{tuple(cost.shape)}'
                )
        num_preds = [cost.shape[0] for cost in costs]
        num_gts = [cost.shape[1] for cost in costs]
        B, N, M = len(costs), max(num_preds), max(num_gts)
        dtype = _solver_dtype(costs[0])
        padded = costs[0].new_zeros((B, M, N), dtype=dtype).mT
        for index, cost in enumerate(costs):
            target = padded[index, : num_preds[index], : num_gts[index]]
            target.copy_(cost.detach())
        background: float | Tensor
        if isinstance(background_cost, (int, float)):
            background = float(background_cost)
        else:
            _check_background(background_cost, num_preds)
            background = padded.new_zeros((B, N))
            for index, row in enumerate(background_cost):
                background[index, : num_preds[index]] = row.detach()
        device = padded.device
        return cls.from_padded(
            padded,
            valid_mask(num_gts, device),
            background,
            pred_valid=valid_mask(num_preds, device),
        )

    @classmethod
    def from_padded(
        cls,
        cost: Tensor,
        gt_valid: Tensor,
        background_cost: float | Tensor,
        pred_valid: Tensor | None = None,
        max_cost: float = math.inf,
    ) -> MatchingProblem:
        """Adds the background and the masses of Prop. 1 to padded costs.

        Args:
            cost (Tensor): (B, N, M) costs; padding may hold anything.
            gt_valid (Tensor): (B, M) bool, False for padding.
            background_cost (float | Tensor): One number, or (B, N).
            pred_valid (Tensor, optional): (B, N) bool, False for predictions
                that take no part. Defaults to all.
            max_cost (float): What no cost's magnitude exceeds; if it is
                finite, so must the costs be. Defaults to inf.

        Returns:
            MatchingProblem: Cost (B, N, M + 1).

        Raises:
            ValueError: If the shapes do not fit.
        """
        if cost.dim() != 3:
            raise ValueError(
                f'cost must be (B, N, M), got shape {tuple(cost.shape)}'
            )
        B, N, M = cost.shape
        if pred_valid is None:
            pred_valid = gt_valid.new_ones((B, N))
        for name, value, shape in (
            ('gt_valid', gt_valid, (B, M)),
            ('pred_valid', pred_valid, (B, N)),
        ):
            if tuple(value.shape) != shape or value.dtype != torch.bool:
                raise ValueError(
                    f'{name} must be a bool tensor of shape {shape}, got '
                    f'{_describe(value)}'
                )
        dtype = _solver_dtype(cost)
        if isinstance(background_cost, Tensor):
            if tuple(background_cost.shape) != (B, N):
                raise ValueError(
                    'background_cost must be a number or a tensor of shape '
                    f'{(B, N)}, got {_describe(background_cost)}'
                )
            background = background_cost.to(dtype)
        else:
            background = cost.new_full((), background_cost, dtype=dtype)
        rows = cost.new_empty((B, M + 1, N), dtype=dtype)
        rows[:, :M] = cost.mT
        rows[:, M] = background
        rows[:, :M].masked_fill_(~gt_valid.unsqueeze(2), 0.0)
        rows.masked_fill_(~pred_valid.unsqueeze(1), 0.0)
        if math.isinf(max_cost):
            rows = replace_non_finite(rows)
        return cls.from_masks(rows.mT, gt_valid, pred_valid, max_cost)

    @classmethod
    def from_masks(
        cls,
        cost: Tensor,
        gt_valid: Tensor,
        pred_valid: Tensor,
        max_cost: float = math.inf,
        num_preds: Sequence[int] | None = None,
        num_candidates: Tensor | None = None,
        asked: float | Tensor = 1.0,
        most_asked: int | None = 1,
        at_most: float | Tensor | None = None,
    ) -> MatchingProblem:
        """Adds masses to finite costs; those of Prop. 1 by default.

        Args:
            cost (Tensor): (B, N, M + 1) finite float32 or float64 costs,
                also in the padding; the last column is the background.
            gt_valid (Tensor): (B, M) bool, False for padding.
            pred_valid (Tensor): (B, N) bool, False for predictions that take
                no part.
            max_cost (float): What no cost's magnitude exceeds. Defaults to
                inf.
            num_preds (Sequence[int], optional): Numbers of predictions that
                take part, where they are known. Defaults to None.
            num_candidates (Tensor, optional): (B, M) how many predictions
                each ground truth may be matched to; other pairs cost
                infinity. None asks for more. Defaults to None, all finite.
            asked (float | Tensor): How many predictions a ground truth asks
                for, :math:`k_j`: one number, or (B, M). Defaults to 1.
            most_asked (int, optional): What ``asked`` does not exceed, if it
                is whole numbers; None if it may not be. Defaults to 1.
            at_most (float | Tensor, optional): With it ``asked`` is what a
                ground truth gets at least, this what it gets at most: one
                number, infinity too, or (B, M). Defaults to None.

        Returns:
            MatchingProblem: The problem.
        """
        n_pred = pred_valid.sum(1, keepdim=True, dtype=torch.int32).to(
            cost.dtype
        )
        wanted = gt_valid.to(cost.dtype) * asked
        if num_candidates is not None:
            wanted = torch.minimum(wanted, num_candidates.to(wanted))
        n_wanted = wanted.sum(1, keepdim=True)
        unit = 1 / n_pred.clamp(min=1)
        share = (n_pred > 0) / torch.maximum(n_pred, n_wanted).clamp(min=1)
        background_mass = (n_pred - n_wanted).clamp(min=0) * unit
        gt_mass = torch.cat((wanted * share, background_mass), dim=1)
        gt_range = None
        if at_most is not None:
            greatest = torch.where(gt_valid, at_most, 0.0).to(cost.dtype)
            if num_candidates is not None:
                greatest = torch.minimum(greatest, num_candidates.to(wanted))
            rest = (n_pred - greatest.sum(1, keepdim=True)).clamp(min=0)
            most = torch.cat((greatest * unit, background_mass), dim=1)
            least = torch.cat((wanted * share, rest * unit), dim=1)
            gt_range = torch.stack((least, torch.maximum(least, most)))
            gt_mass = torch.minimum(gt_range[1], torch.maximum(unit, least))
        ratio = math.inf
        if most_asked is not None:
            N, columns = cost.shape[1:]
            ratio = float(max(N, columns * most_asked, 1))
            # The first scalings may be that far from what a range asks for.
            ratio *= columns**2 if at_most is not None else 1
        return cls(
            cost=cost,
            pred_mass=pred_valid * unit,
            gt_mass=gt_mass,
            bounds=Bounds(
                max_cost=max_cost,
                mass_ratio=ratio,
                finite_padding=True,
                num_preds=None if num_preds is None else tuple(num_preds),
                excludes=num_candidates is not None,
                one_each=not isinstance(asked, Tensor) and asked <= 1,
            ),
            gt_range=gt_range,
        )

    @property
    def num_preds(self) -> Tensor:
        """(B,) Number of predictions with mass, the paper's N_p."""
        return (
            (self.pred_mass > 0).sum(1, dtype=torch.int32).to(self.cost.dtype)
        )

    def check_fixed_mass(self) -> None:
        """Raises ValueError for ranges, which exact matchers do not take."""
        if self.gt_range is not None:
            raise ValueError(
                'a range of masses needs the scaling algorithm: give '
                'epsilon > 0, or masses without gt_range'
            )

    @property
    def finite_cost(self) -> Tensor:
        """The cost, zero for pairs that are excluded."""
        if not self.bounds.excludes:
            return self.cost
        return self.cost.masked_fill(self.cost.isinf(), 0.0)

    @property
    def padding(self) -> Tensor:
        """(B, N, M + 1) bool, True where the row or the column is padding."""
        return (self.pred_mass == 0).unsqueeze(2) | (
            self.gt_mass == 0
        ).unsqueeze(1)


def _solver_dtype(cost: Tensor) -> torch.dtype:
    return torch.promote_types(cost.dtype, torch.float32)


def _check_background(rows: Sequence[Tensor], num_preds: list[int]) -> None:
    shapes = [(count,) for count in num_preds]
    try:
        fits = [tuple(row.shape) for row in rows] == shapes
    except (TypeError, AttributeError):
        fits = False
    if not fits:
        raise ValueError(
            'background_cost must be a number or one (N,) tensor per image, '
            f'here of shapes {shapes}, got {_describe(rows)}'
        )


def valid_mask(counts: list[int], device: torch.device) -> Tensor:
    """(B, max(counts)) bool: the first ``counts[b]`` of row b are True."""
    if min(counts) == max(counts):
        shape = len(counts), max(counts)
        return torch.ones(shape, dtype=torch.bool, device=device)
    index = torch.arange(max(counts), device=device)
    return index < to_device(counts, device).unsqueeze(1)


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f'a {value.dtype} tensor of shape {tuple(value.shape)}'
    return f'{type(value).__name__}: {value!r}'[:80]
