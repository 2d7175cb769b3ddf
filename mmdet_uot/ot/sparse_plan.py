"""A plan that is its pairs; a matrix of it is made on demand."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from .device import may_hold
from .plan import BACKGROUND, TransportPlan, WeightedPairs
from .repeat import asked_counts, assign_repeatedly

__all__ = ['SparsePlan']


class SparsePlan(TransportPlan):
    r"""A transport plan of which most weights are zero.

    It answers as :class:`TransportPlan` does, from memory that grows with the
    number of pairs. ``weights`` and ``foreground`` are matrices, which the
    first reader pays for.

    Args:
        matched (WeightedPairs): The foreground pairs with weight, sorted by
            image, ground truth and prediction, none twice.
        background (Tensor): (B, N) weights of the background.
        pred_mass (Tensor): (B, N), the :math:`\alpha` asked for.
        gt_mass (Tensor): (B, M + 1), the :math:`\beta` asked for.
        pred_potential (Tensor, optional): (B, N) float64.
        gt_potential (Tensor, optional): (B, M + 1) float64.
        marginal_error (Tensor, optional): (B,).
        gt_range (Tensor, optional): (2, B, M + 1).
    """

    matched: WeightedPairs

    def __init__(
        self,
        matched: WeightedPairs,
        background: Tensor,
        pred_mass: Tensor,
        gt_mass: Tensor,
        pred_potential: Tensor | None = None,
        gt_potential: Tensor | None = None,
        marginal_error: Tensor | None = None,
        gt_range: Tensor | None = None,
    ) -> None:
        values = dict(
            matched=matched,
            _background=background,
            pred_mass=pred_mass,
            gt_mass=gt_mass,
            pred_potential=pred_potential,
            gt_potential=gt_potential,
            marginal_error=marginal_error,
            gt_range=gt_range,
        )
        self.__dict__.update(values)

    @classmethod
    def one_each(
        cls,
        pairs: tuple[Tensor, Tensor, Tensor],
        pred_mass: Tensor,
        gt_mass: Tensor,
    ) -> SparsePlan:
        """The 0/1 plan of pairs; all others are the background's.

        Args:
            pairs (tuple[Tensor, Tensor, Tensor]): (K,) int64 image,
                prediction and ground truth, sorted by image, then ground
                truth; no prediction twice.
            pred_mass (Tensor): (B, N).
            gt_mass (Tensor): (B, M + 1).

        Returns:
            SparsePlan: In the dtype of the masses.
        """
        image, prediction, _ = pairs
        background = pred_mass.sign()
        taken = prediction.add(image, alpha=pred_mass.shape[1])
        background.view(-1).index_fill_(0, taken, 0.0)
        mass = background.new_ones(len(image))
        matched = WeightedPairs(*pairs, mass)
        return cls(matched, background, pred_mass, gt_mass)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, N, M + 1)."""
        return *self.pred_mass.shape, self.gt_mass.shape[1]

    @cached_property
    def weights(self) -> Tensor:
        """(B, N, M + 1) weights, made at the first use."""
        B, N, columns = self.shape
        image, prediction, ground_truth, mass = self.matched
        weights = mass.new_zeros((B, columns, N))
        weights[image, ground_truth, prediction] = mass
        weights[:, -1] = self.background
        return weights.mT

    @property
    def background(self) -> Tensor:
        """(B, N) weights of the background."""
        background: Tensor = self.__dict__['_background']
        return background

    @property
    def pred_marginal(self) -> Tensor:
        """(B, N) weight that each prediction sends, N P 1."""
        sent = self.background.flatten().index_add(
            0, self._row, self.matched.mass
        )
        return sent.view_as(self.background)

    @property
    def gt_marginal(self) -> Tensor:
        """(B, M + 1) weight that each ground truth receives, N P^T 1."""
        # One by one many small floats add up to less than they should.
        received = torch.zeros_like(self.gt_mass, dtype=torch.float64)
        received.view(-1).index_add_(
            0, self._column, self.matched.mass.double()
        )
        received[:, -1] = self.background.sum(1)
        return received.to(self.background.dtype)

    @property
    def foreground_mass(self) -> Tensor:
        """(B,) weight of all pairs."""
        return self.gt_marginal[:, :-1].sum(1)

    def grouped(self, groups: Tensor, num_groups: int) -> Tensor:
        """See :meth:`TransportPlan.grouped`."""
        image, _, ground_truth, mass = self.matched
        group = groups[image, ground_truth]
        total = mass.new_zeros(self.pred_mass.numel() * num_groups)
        total.index_add_(0, self._row * num_groups + group, mass)
        return total.view(*self.pred_mass.shape, num_groups)

    def gt_support(self, min_mass: Tensor) -> Tensor:
        """See :meth:`TransportPlan.gt_support`; here from all pairs."""
        heavy = self._column[self._heavier_than(min_mass)]
        count = torch.zeros_like(self.gt_mass, dtype=torch.int64)
        count.view(-1).index_add_(0, heavy, torch.ones_like(heavy))
        return count[:, :-1].unsqueeze(2)

    def pairs(self, min_mass: float | Tensor = 0.0) -> WeightedPairs:
        """See :meth:`TransportPlan.pairs`."""
        heavy = self._heavier_than(min_mass)
        return WeightedPairs(*(values[heavy] for values in self.matched))

    def best_ground_truth(self) -> Tensor:
        """See :meth:`TransportPlan.best_ground_truth`."""
        heavy = self.matched.mass >= self.background.flatten()[self._row]
        return self._heaviest_of_rows(heavy)

    def best_prediction(self) -> Tensor:
        """See :meth:`TransportPlan.best_prediction`."""
        if may_hold(asked_counts(self.pred_mass, self.gt_mass) > 1):
            return super().best_prediction()
        mass, column = self.matched.mass, self._column
        top = mass.new_zeros(self.gt_mass.numel())
        top.scatter_reduce_(0, column, mass, 'amax')
        best = (mass == top[column]).nonzero()[:, 0]
        # The first of a column's pairs: they are sorted.
        column = column[best]
        is_first = torch.ones_like(best, dtype=torch.bool)
        is_first[1:] = column[1:] != column[:-1]
        chosen = torch.zeros_like(mass, dtype=torch.bool)
        chosen[best[is_first]] = True
        return self._heaviest_of_rows(chosen)

    def one_to_one(self) -> Tensor:
        """See :meth:`TransportPlan.one_to_one`.

        Beside the predictions that have pairs, as many of the others as are
        asked for can matter: those that lose the least weight.
        """
        B, N, columns = self.shape
        places = self._row.new_zeros((B, N), dtype=torch.bool)
        places.view(-1)[self._row] = True
        live = self.pred_mass > 0
        asked = asked_counts(self.pred_mass, self.gt_mass)
        most = int(asked.sum(1).max()) if B else 0
        cheap = self.background.masked_fill(places | ~live, torch.inf)
        spare = cheap.topk(min(most, N), dim=1, largest=False).indices
        places.scatter_(1, spare, True)
        places &= live

        index = places.cumsum(1) - 1
        counts = places.sum(1)
        n = int(counts.max()) if B else 0
        image, prediction, ground_truth, mass = self.matched
        price = mass.new_zeros((B, columns - 1, n))
        row, own = places.nonzero(as_tuple=True)
        place = index[row, own]
        price.mT[row, place] = self.background[row, own].unsqueeze(1)
        pairs = image, ground_truth, index[image, prediction]
        price[pairs] -= mass
        weighs = torch.zeros_like(price, dtype=torch.bool)
        weighs[pairs] = mass > 0
        taken, compact, matched = assign_repeatedly(
            price.mT,
            torch.arange(n, device=counts.device) < counts.unsqueeze(1),
            asked,
        )
        back = own.new_zeros((B, n))
        back[row, place] = own
        indices = self._all_background()
        indices[taken, back[taken, compact]] = matched.where(
            weighs[taken, matched, compact], BACKGROUND
        )
        return indices

    def restrict(self, rows: Tensor) -> SparsePlan:
        """See :meth:`TransportPlan.restrict`."""
        kept = rows.flatten()[self._row]
        return SparsePlan(
            WeightedPairs(*(values[kept] for values in self.matched)),
            background=self.background * rows,
            pred_mass=self.pred_mass * rows,
            gt_mass=self.gt_mass,
            gt_range=self.gt_range,
        )

    def spread(self, places: Tensor) -> SparsePlan:
        """See :meth:`TransportPlan.spread`."""
        row = places.cumsum(1).sub(1).clamp(min=0)
        order = places.to(torch.int8).argsort(
            dim=1, descending=True, stable=True
        )
        image, prediction, ground_truth, mass = self.matched
        kept = prediction < places.sum(1)[image]
        moved = order[image[kept], prediction[kept]]
        return SparsePlan(
            WeightedPairs(image[kept], moved, ground_truth[kept], mass[kept]),
            background=self.background.gather(1, row) * places,
            pred_mass=self.pred_mass.gather(1, row) * places,
            gt_mass=self.gt_mass,
            gt_potential=self.gt_potential,
            marginal_error=self.marginal_error,
            gt_range=self.gt_range,
        )

    @property
    def _row(self) -> Tensor:
        """(K,) index of a pair's prediction among those of all images."""
        matched = self.matched
        return matched.image * self.pred_mass.shape[1] + matched.prediction

    @property
    def _column(self) -> Tensor:
        """(K,) index of a pair's column among those of all images."""
        matched = self.matched
        return matched.image * self.gt_mass.shape[1] + matched.ground_truth

    def _heavier_than(self, min_mass: float | Tensor) -> Tensor:
        """(K,) bool, for one weight or weights broadcast to (B, M, N)."""
        image, prediction, ground_truth, mass = self.matched
        if isinstance(min_mass, Tensor):
            B, N, columns = self.shape
            least = min_mass.expand(B, columns - 1, N)
            min_mass = least[image, ground_truth, prediction]
        return mass > min_mass

    def _heaviest_of_rows(self, candidates: Tensor) -> Tensor:
        """(B, N) ground truth of the heaviest of some pairs, else -1."""
        row, mass = self._row[candidates], self.matched.mass[candidates]
        top = mass.new_zeros(self.pred_mass.numel())
        top.scatter_reduce_(0, row, mass, 'amax')
        best = mass == top[row]
        ground_truth = self.matched.ground_truth[candidates][best]
        nobody = self.gt_mass.shape[1]
        indices = self._all_background().fill_(nobody)
        indices.view(-1).scatter_reduce_(0, row[best], ground_truth, 'amin')
        return indices.masked_fill_(indices == nobody, BACKGROUND)
