"""What a row gains over another, and what its seeds leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import ttest_1samp

from .experiment import Experiment, Row
from .markdown import NOTHING
from .row_results import RowResults

__all__ = ['Difference', 'compare', 'differences', 'format_difference']


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
    found: list[Difference] = []
    for row in rows:
        group = row.row.cells[: experiment.group_by]
        reference = first.setdefault(group, row)
        if reference is not row:
            found += differences(row, reference)
    return [x for x in found if len(x.points) > 1]


def differences(row: RowResults, reference: RowResults) -> list[Difference]:
    """Compares two rows over the seeds that both have.

    Args:
        row (RowResults): What is compared.
        reference (RowResults): With what.

    Returns:
        list[Difference]: One per evaluation.
    """
    seeds = sorted(row.results.keys() & reference.results.keys())
    return [
        Difference(
            row.row,
            reference.row,
            evaluation,
            tuple(
                row.results[seed]['metrics'][evaluation]['AP']
                - reference.results[seed]['metrics'][evaluation]['AP']
                for seed in seeds
            ),
        )
        for evaluation in row.row.run.evaluations
    ]


def format_difference(found: Difference) -> str:
    """The mean, with the interval, or with what each seed gave."""
    if not found.points:
        return NOTHING
    if len(found.points) == 1:
        return f'{found.mean:+.1f}'
    if found.interval is None:
        spread = ', '.join(f'{points:+.1f}' for points in found.points)
    else:
        spread = '{:+.1f} to {:+.1f}'.format(*found.interval)
    return f'{found.mean:+.1f} ({spread})'
