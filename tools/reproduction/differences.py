"""What a row gains over another, and what its seeds leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import ttest_1samp

from .experiment import Experiment, Row
from .row_results import RowResults

__all__ = ['Difference', 'compare']


@dataclass(frozen=True)
class Difference:
    """What a row's AP has more than another's, seed by seed.

    Attributes:
        row (Row): What is compared.
        reference (Row): With what.
        evaluation (str): As 'nms'.
        points (tuple[float, ...]): row - reference, of each seed of both.
    """

    row: Row
    reference: Row
    evaluation: str
    points: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return sum(self.points) / len(self.points)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the paired t-test; None of fewer than 3."""
        if len(self.points) < 3:
            return None
        low, high = ttest_1samp(self.points, 0.0).confidence_interval()
        return float(low), float(high)


def compare(
    experiment: Experiment, rows: Sequence[RowResults]
) -> list[Difference]:
    """Compares the rows of each group with its first.

    Args:
        experiment (Experiment): The experiment.
        rows (Sequence[RowResults]): Its rows.

    Returns:
        list[Difference]: None where fewer than two seeds are shared.
    """
    first: dict[tuple[str, ...], RowResults] = {}
    found = []
    for row in rows:
        group = row.row.cells[: experiment.group_by]
        reference = first.setdefault(group, row)
        seeds = sorted(row.results.keys() & reference.results.keys())
        if reference is row or len(seeds) < 2:
            continue
        for evaluation in row.row.run.evaluations:
            points = (
                row.results[seed]['metrics'][evaluation]['AP']
                - reference.results[seed]['metrics'][evaluation]['AP']
                for seed in seeds
            )
            found.append(
                Difference(row.row, reference.row, evaluation, (*points,))
            )
    return found
