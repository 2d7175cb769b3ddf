"""The numbers of a row: over its seeds, and the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .experiment import Experiment, Row
from .job import Job

__all__ = ['RowResults', 'collect', 'evaluations_of']

METRICS = ('AP', 'AR')


@dataclass(frozen=True)
class RowResults:
    """A row with the results that there are.

    Attributes:
        row (Row): The row.
        results (Mapping[int, dict]): By seed.
    """

    row: Row
    results: Mapping[int, dict]

    def measured(self, evaluation: str, metric: str) -> list[float]:
        """One number per seed; none for an evaluation it does not have."""
        return [
            result['metrics'][evaluation][metric]
            for result in self.results.values()
            if evaluation in result['metrics']
        ]

    def paper(self, evaluation: str, metric: str) -> float | None:
        """The paper's number, or None if it gives none."""
        numbers = self.row.paper.get(evaluation)
        return numbers and numbers[METRICS.index(metric)]


def collect(
    experiment: Experiment, scale: str, jobs: Sequence[Job]
) -> list[RowResults]:
    """Reads the results of an experiment.

    Args:
        experiment (Experiment): The experiment.
        scale (str): 'cpu' or 'paper'.
        jobs (Sequence[Job]): All jobs of its runs.

    Returns:
        list[RowResults]: One per row.
    """
    found: dict[str, dict[int, dict]] = {}
    for job in jobs:
        result = job.read_result()
        if result is not None:
            found.setdefault(job.run.name, {})[job.seed] = result
    return [
        RowResults(row, found.get(row.run.name, {}))
        for row in experiment.at(scale)
    ]


def evaluations_of(rows: Sequence[RowResults]) -> list[str]:
    """All evaluations of the rows, each once."""
    return [*dict.fromkeys(e for r in rows for e in r.row.run.evaluations)]
