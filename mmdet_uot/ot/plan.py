"""The transport plan: weights, potentials, marginals and views of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .precision import full_precision
from .repeat import asked_counts, assign_repeatedly, greatest_of_each

__all__ = ['TransportPlan', 'WeightedPairs', 'hard_weights']

BACKGROUND = -1


class WeightedPairs(NamedTuple):
    """Matched pairs, sorted by image, then ground truth, then prediction.

    Attributes:
        image (Tensor): (K,) int64 index of the image.
        prediction (Tensor): (K,) int64 index of the prediction.
        ground_truth (Tensor): (K,) int64 index of the ground truth.
        mass (Tensor): (K,) weight :math:`N P_{ij}` of the pair.
    """

    image: Tensor
    prediction: Tensor
    ground_truth: Tensor
    mass: Tensor


def hard_weights(
    indices: Tensor,
    num_gts: int,
    ignored: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The weights of :meth:`TransportPlan.from_indices`: (B, N, M + 1)."""
    column = torch.where(indices < 0, num_gts, indices)
    if ignored is not None:
        column = column.masked_fill(ignored, num_gts)
    # Column by column in memory, as costs are.
    weights = indices.new_zeros(
        (indices.shape[0], num_gts + 1, indices.shape[1]), dtype=dtype
    )
    weights.scatter_(1, column.unsqueeze(1), 1.0)
    if ignored is not None:
        weights[:, -1].masked_fill_(ignored, 0.0)
    return weights.mT


@dataclass(frozen=True, eq=False)
class TransportPlan:
    r"""A batch of matches :math:`\hat P`, scaled by the predictions' number.

    With padding (mass zero) all weights are zero. Only the
    scaling algorithm gives potentials; those of the other matchers are None.

    Args:
        weights (Tensor): (B, N, M + 1), :math:`N_p \hat P`: the row of a
            prediction whose mass is respected sums to 1. Last column:
            background.
        pred_mass (Tensor): (B, N), the :math:`\alpha` asked for.
        gt_mass (Tensor): (B, M + 1), the :math:`\beta` asked for.
        pred_potential (Tensor, optional): (B, N) float64, :math:`f =
            \epsilon \log u`, in units of the cost.
        gt_potential (Tensor, optional): (B, M + 1) float64, :math:`g =
            \epsilon \log v`. Then :math:`P_{ij} = \exp((f_i + g_j -
            C_{ij}) / \epsilon)`.
        marginal_error (Tensor, optional): (B,) distance from convergence,
            as a share of the total mass: :math:`\sum_i |(P 1)_i - \alpha_i
            \exp(-f_i / \tau_1)|`, zero at the solution.
        gt_range (Tensor, optional): (2, B, M + 1), the least and greatest
            :math:`\beta` where a range was asked for.
    """

    weights: Tensor
    pred_mass: Tensor
    gt_mass: Tensor
    pred_potential: Tensor | None = None
    gt_potential: Tensor | None = None
    marginal_error: Tensor | None = None
    gt_range: Tensor | None = None

    @classmethod
    def from_indices(
        cls, indices: Tensor, num_gts: int, ignored: Tensor | None = None
    ) -> TransportPlan:
        """The 0/1 plan of a hard matching.

        Args:
            indices (Tensor): (B, N) int64, the ground truth that each
                prediction is matched to, negative for the background.
            num_gts (int): Number of ground truth columns M.
            ignored (Tensor, optional): (B, N) bool, predictions that are
                matched to nothing, not even the background.

        Returns:
            TransportPlan: float32 weights of 0 and 1.
        """
        weights = hard_weights(indices, num_gts, ignored)
        n = weights.sum((1, 2)).clamp(min=1).unsqueeze(1)
        return cls(weights, weights.sum(2) / n, weights.sum(1) / n)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, N, M + 1)."""
        B, N, columns = self.weights.shape
        return B, N, columns

    @property
    def foreground(self) -> Tensor:
        """(B, N, M) weights of the ground truths, without the background."""
        return self.weights[..., :-1]

    @property
    def background(self) -> Tensor:
        """(B, N) weights of the background."""
        return self.weights[..., -1]

    @property
    def pred_marginal(self) -> Tensor:
        """(B, N) weight that each prediction sends, N P 1."""
        return self.weights.sum(2)

    @property
    def gt_marginal(self) -> Tensor:
        """(B, M + 1) weight that each ground truth receives, N P^T 1."""
        return self.weights.sum(1)

    @property
    def gt_bounds(self) -> Tensor:
        """(2, B, M + 1) least and greatest masses; equal without a range."""
        if self.gt_range is None:
            return self.gt_mass.expand(2, -1, -1)
        return self.gt_range

    @property
    def gt_asked(self) -> Tensor:
        """(2, B, M + 1) least and greatest weight asked for, N beta."""
        num_preds = (self.pred_mass > 0).sum(1, keepdim=True)
        # Without predictions infinity times none would be no number.
        return torch.where(num_preds > 0, self.gt_bounds * num_preds, 0.0)

    def converged(self, tol: float = 1e-3) -> Tensor:
        """Whether the plan is that of the fixed point, up to some mass.

        Args:
            tol (float): Greatest ``marginal_error``. Defaults to 1e-3.

        Returns:
            Tensor: (B,) bool; True where nothing was iterated.
        """
        if self.marginal_error is None:
            return self.pred_mass.new_ones(len(self.pred_mass)).bool()
        return self.marginal_error <= tol

    def gt_support(self, min_mass: Tensor) -> Tensor:
        """About how many pairs of a ground truth have more than a weight.

        Args:
            min_mass (Tensor): (B, M, 1) weights.

        Returns:
            Tensor: (B, M, 1) numbers, from every seventh prediction.
        """
        weights = self.foreground.mT[..., ::7]
        return 7 * (weights > min_mass).sum(2, keepdim=True)

    @property
    def foreground_mass(self) -> Tensor:
        """(B,) weight of all ground truths."""
        return self.foreground.sum((1, 2))

    def grouped(self, groups: Tensor, num_groups: int) -> Tensor:
        """Weight that each prediction gives to groups of ground truths.

        Args:
            groups (Tensor): (B, M) int64 group of each ground truth, in
                [0, num_groups); in the padding anything.
            num_groups (int): Number of groups G.

        Returns:
            Tensor: (B, N, G).
        """
        names = torch.arange(num_groups, device=groups.device)
        one_hot = (groups.unsqueeze(2) == names).to(self.weights.dtype)
        with full_precision(groups.device):
            return self.foreground @ one_hot

    def pairs(self, min_mass: float | Tensor = 0.0) -> WeightedPairs:
        """Foreground pairs with more than a given weight.

        Args:
            min_mass (float | Tensor): Pairs of at most this weight are left
                out; one for all, or broadcast to (B, M, N). Defaults to 0.

        Returns:
            WeightedPairs: The K pairs; K depends on the data, so a GPU waits
            here for the host.
        """
        weights = self.foreground.mT
        image, ground_truth, prediction = (weights > min_mass).nonzero(
            as_tuple=True
        )
        return WeightedPairs(
            image,
            prediction,
            ground_truth,
            weights[image, ground_truth, prediction],
        )

    def best_ground_truth(self) -> Tensor:
        """Hard view: each prediction takes its heaviest column.

        A prediction without weight goes to the background.

        Returns:
            Tensor: (B, N) int64 ground truth index, -1 for the background.
        """
        weight, column = self.weights.max(2)
        background = column == self.weights.shape[2] - 1
        return column.masked_fill(background | (weight == 0), BACKGROUND)

    def best_prediction(self) -> Tensor:
        """Hard view: each ground truth takes its heaviest prediction.

        One with the mass of k predictions takes its k heaviest. A prediction
        that is the best of several ground truths goes to the one that gives
        it the most weight.

        Returns:
            Tensor: (B, N) int64 ground truth index, -1 for the background.
        """
        weights = self.foreground
        if 0 in weights.shape:
            return self._all_background()
        best = greatest_of_each(
            weights, asked_counts(self.pred_mass, self.gt_mass)
        )
        mass, column = (weights * best).max(2)
        return column.masked_fill(mass == 0, BACKGROUND)

    def one_to_one(self) -> Tensor:
        """Hard view: the one-to-one matching of the greatest total weight.

        Every ground truth gets one prediction of its own, or k if it has
        the mass of k, as long as there are enough of them that it gives any
        weight: a pair that may not be matched has none. Solved on the CPU by
        lapx or SciPy.

        Returns:
            Tensor: (B, N) int64 ground truth index, -1 for the background.
        """
        image, prediction, ground_truth = assign_repeatedly(
            (self.background.unsqueeze(1) - self.foreground.mT).mT,
            self.pred_mass > 0,
            asked_counts(self.pred_mass, self.gt_mass),
        )
        weighs = self.weights[image, prediction, ground_truth] > 0
        indices = self._all_background()
        indices[image, prediction] = ground_truth.where(weighs, BACKGROUND)
        return indices

    def restrict(self, rows: Tensor) -> TransportPlan:
        """Takes all weight from the other predictions.

        Args:
            rows (Tensor): (B, N) bool, predictions that keep theirs.

        Returns:
            TransportPlan: Weights (B, N, M + 1), without potentials.
        """
        return TransportPlan(
            weights=(self.weights.mT * rows.unsqueeze(1)).mT,
            pred_mass=self.pred_mass * rows,
            gt_mass=self.gt_mass,
            gt_range=self.gt_range,
        )

    def spread(self, places: Tensor) -> TransportPlan:
        """Puts the rows back among predictions that took no part.

        Args:
            places (Tensor): (B, N') bool; image b has N_b True entries, which
                receive its first N_b rows. All others get no weight.

        Returns:
            TransportPlan: Weights (B, N', M + 1).
        """
        row = places.cumsum(1).sub(1).clamp(min=0)
        columns = self.weights.mT
        index = row.unsqueeze(1).expand(-1, columns.shape[1], -1)
        return TransportPlan(
            weights=(columns.gather(2, index) * places.unsqueeze(1)).mT,
            pred_mass=self.pred_mass.gather(1, row) * places,
            gt_mass=self.gt_mass,
            gt_potential=self.gt_potential,
            marginal_error=self.marginal_error,
            gt_range=self.gt_range,
        )

    def _all_background(self) -> Tensor:
        return torch.full_like(self.pred_mass, BACKGROUND, dtype=torch.int64)
