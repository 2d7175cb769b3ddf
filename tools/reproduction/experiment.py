"""Tables and figures that take trainings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Tuple

from .runs import Run

__all__ = ['Experiment', 'Numbers', 'Row']

# Evaluation -> (AP, AR), in percent.
Numbers = Mapping[str, Tuple[float, float]]


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells (tuple[str, ...]): What it is, under the experiment's header.
        run (Run): Where its numbers come from.
        paper (Numbers): The paper's. Defaults to none.
    """

    cells: tuple[str, ...]
    run: Run
    paper: Numbers = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its name in a figure."""
        return ' '.join(self.cells)


@dataclass(frozen=True)
class Experiment:
    """A table or figure that takes trainings.

    Attributes:
        title (str): What it is about.
        header (tuple[str, ...]): Above the cells of its rows.
        rows (tuple[Row, ...]): Its rows.
        claim (str): What the paper says about it. Defaults to nothing.
        by_epoch (bool): Whether it is about AP by epoch. Defaults to False.
        chosen_on (tuple[int, ...]): Seeds on which its settings were chosen,
            which are not reported. Defaults to none.
        group_by (int): So many cells name a group, whose first row the others
            are compared with. Defaults to 0: one group.
        images (str): What it is trained and evaluated with at CPU scale.
            Defaults to those of Color Boxes.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    claim: str = ''
    by_epoch: bool = False
    chosen_on: tuple[int, ...] = ()
    group_by: int = 0
    images: str = '960 training and 240 validation images'

    def at(self, scale: str) -> list[Row]:
        """Its rows at a scale."""
        return [row for row in self.rows if scale in row.run.scales]
