"""From the name of an experiment to its table and figure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmdet_uot.visualization.style import save

from .catalogue import TRAININGS
from .experiment import Experiment
from .figures import draw_experiment
from .job import Job, make_job
from .paper_scale import describe_needs
from .report import format_report
from .row_results import RowResults, collect
from .scheduler import do_jobs

__all__ = [
    'Settings',
    'collect_results',
    'make_jobs',
    'reproduce',
    'write_report',
]


@dataclass(frozen=True)
class Settings:
    """How an experiment is to be done.

    Attributes:
        scale (str): 'cpu' or 'paper'. Defaults to 'cpu'.
        seeds (Sequence[int]): One training of each run per seed. Defaults to
            0.
        epochs (int, optional): Length of the schedule. Defaults to that of
            the config.
        options (Mapping[str, str]): ``--cfg-options`` for all. Defaults to
            none.
        results (Path): Folder of the results. Defaults to ``results``.
        work_dirs (Path): Folder of the work directories. Defaults to
            ``work_dirs/reproduce``.
        at_a_time (int, optional): Trainings at a time. Defaults to one per
            core, or to one at the scale of the paper.
        cores (int): That they share. Defaults to 1.
        device (str, optional): 'cuda' trains on the GPU, 'cpu' hides it.
            Defaults to 'cpu' at CPU scale and 'cuda' at the paper's.
    """

    scale: str = 'cpu'
    seeds: Sequence[int] = (0,)
    epochs: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    results: Path = Path('results')
    work_dirs: Path = Path('work_dirs/reproduce')
    at_a_time: int | None = None
    cores: int = 1
    device: str | None = None

    @property
    def folder(self) -> Path:
        """Where the results of the scale are."""
        return self.results / self.scale

    def share(self, num_jobs: int) -> tuple[int, int]:
        """Jobs at a time, and threads of each."""
        default = self.cores if self.scale == 'cpu' else 1
        at_a_time = max(1, min(self.at_a_time or default, num_jobs))
        return at_a_time, max(1, self.cores // at_a_time)


def make_jobs(experiment: Experiment, settings: Settings) -> list[Job]:
    """All trainings of an experiment, seed by seed."""
    runs = {
        row.run.name: row.run for row in experiment.at(settings.scale)
    }.values()
    return [
        make_job(
            run,
            scale=settings.scale,
            seed=seed,
            epochs=settings.epochs,
            options=settings.options,
            results=settings.results,
            work_dirs=settings.work_dirs,
            device=settings.device
            or ('cpu' if settings.scale == 'cpu' else 'cuda'),
        )
        for seed in settings.seeds
        for run in runs
    ]


def reproduce(name: str, settings: Settings, *, start: bool) -> list[str]:
    """Trains what has no result yet; writes table and figure.

    Args:
        name (str): In ``TRAININGS``.
        settings (Settings): How.
        start (bool): Whether trainings may be started. Otherwise only what
            there is is written, and at the scale of the paper printed what
            it would take.

    Returns:
        list[str]: What failed.

    Raises:
        ValueError: If results were made with other options, or there is
            nothing to do at that scale.
    """
    experiment = TRAININGS[name]
    if not experiment.at(settings.scale):
        raise ValueError(
            f'{name} has no training at the scale of the paper: leave --scale '
            'out'
        )
    jobs = make_jobs(experiment, settings)
    missing = [job for job in jobs if job.read_result() is None]
    failures: list[str] = []
    try:
        if start:
            at_a_time, threads = settings.share(len(missing))
            failures = do_jobs(jobs, at_a_time=at_a_time, threads=threads)
        elif settings.scale == 'paper' and missing:
            print(describe_needs(name, missing))
    finally:
        write_report(name, settings)
    return failures


def write_report(name: str, settings: Settings) -> None:
    """Writes table and figure of the results that there are, of any seed.

    Args:
        name (str): In ``TRAININGS``.
        settings (Settings): How they were made.

    Raises:
        ValueError: If results were made with other options.
    """
    experiment = TRAININGS[name]
    rows = collect_results(experiment, settings)
    if not any(row.results for row in rows):
        print(f'no results yet in {settings.folder}')
        return
    file = settings.folder / f'{name}.md'
    file.write_text(format_report(name, experiment, settings.scale, rows))
    print(f'table: {file}')
    save(draw_experiment(experiment, rows), file.with_suffix('.png'))


def collect_results(
    experiment: Experiment, settings: Settings
) -> list[RowResults]:
    """Reads the results that there are, of any seed that chose nothing.

    Args:
        experiment (Experiment): The experiment.
        settings (Settings): How they were made.

    Returns:
        list[RowResults]: One per row.

    Raises:
        ValueError: If results were made with other options.
    """
    seeds = [
        seed
        for seed in _seeds_in(settings.folder)
        if seed not in experiment.chosen_on
    ]
    jobs = make_jobs(experiment, replace(settings, seeds=seeds))
    return collect(experiment, settings.scale, jobs)


def _seeds_in(folder: Path) -> list[int]:
    """Those of all results, whatever they are of."""
    endings = (
        re.search(r'-seed(\d+)$', file.stem) for file in folder.glob('*.json')
    )
    return sorted({int(found[1]) for found in endings if found})
