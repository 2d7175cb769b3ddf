"""The Markdown of an experiment: its numbers beside the paper's."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .differences import Difference, compare, format_difference
from .experiment import Experiment
from .markdown import NOTHING, format_numbers, table
from .row_results import METRICS, RowResults, evaluations_of

__all__ = ['format_report']

TITLES = dict(nms='with NMS', no_nms='w/o NMS', plain='')
OF_THE_PAPER = (
    "The paper's numbers are of the full models on 4,800 and 960 images: "
    'compare trends, not values.'
)


def format_report(
    name: str, experiment: Experiment, scale: str, rows: Sequence[RowResults]
) -> str:
    """Everything that is known about an experiment.

    Args:
        name (str): Of the experiment and its figure.
        experiment (Experiment): The experiment.
        scale (str): 'cpu' or 'paper'.
        rows (Sequence[RowResults]): Its rows.

    Returns:
        str: Markdown.
    """
    parts = [
        f'# {experiment.title}',
        experiment.claim and f'The paper: {experiment.claim}',
        _scale_note(experiment, scale),
        f'![{name}]({name}.png)',
        _comparison(experiment, rows),
        'AP and AR (100 detections per image) of the last checkpoint, in '
        'percent; of several seeds the mean, with the least and the greatest '
        'in parentheses. "Epochs" are those of the schedule and those of the '
        "config's own, of which it keeps the shape; two numbers of a run are "
        'with and without NMS.',
    ]
    differences = compare(experiment, rows)
    if differences:
        parts += [
            '## Differences',
            _differences(experiment, differences),
            'Points of AP, mean over the seeds that both have. In parentheses '
            'the difference of each seed, from three seeds on the 95 % '
            'interval of the paired t-test.',
        ]
    if experiment.by_epoch:
        parts += ['## AP by epoch', _by_epoch(experiment, rows)]
    parts += ['## Runs', _runs(rows), *_machines(rows), _commands(rows)]
    return '\n\n'.join(part for part in parts if part) + '\n'


def _scale_note(experiment: Experiment, scale: str) -> str:
    if scale == 'paper':
        return 'Measured with the full configs.'
    note = f'Measured at CPU scale: small models on {experiment.images}.'
    if any(row.paper for row in experiment.at(scale)):
        note += ' ' + OF_THE_PAPER
    return note


def _comparison(experiment: Experiment, rows: Sequence[RowResults]) -> str:
    columns = [(e, m) for e in evaluations_of(rows) for m in METRICS]
    titles = [f'{metric} {TITLES[e]}'.strip() for e, metric in columns]
    on_paper = any(row.row.paper for row in rows)
    header = [*experiment.header, *titles]
    if on_paper:
        header += [f'paper: {title}' for title in titles]
    return table(
        header,
        (
            [
                *row.row.cells,
                *(format_numbers(row.measured(*c)) for c in columns),
                *(_paper(row.paper(*c)) for c in columns if on_paper),
            ]
            for row in rows
        ),
    )


def _differences(
    experiment: Experiment, differences: Sequence[Difference]
) -> str:
    return table(
        [*experiment.header, 'against', 'evaluation', 'AP', 'seeds'],
        (
            [
                *found.row.cells,
                ' '.join(found.reference.cells[experiment.group_by :]),
                TITLES[found.evaluation],
                format_difference(found),
                str(len(found.points)),
            ]
            for found in differences
        ),
    )


def _paper(number: float | None) -> str:
    return NOTHING if number is None else f'{number:.1f}'


def _by_epoch(experiment: Experiment, rows: Sequence[RowResults]) -> str:
    points = [(row, _curves(row)) for row in rows]
    epochs = sorted({epoch for _, curves in points for epoch in curves})
    return table(
        [*experiment.header, *(str(epoch) for epoch in epochs)],
        (
            [
                *row.row.cells,
                *(format_numbers(curves.get(epoch, [])) for epoch in epochs),
            ]
            for row, curves in points
        ),
    )


def _curves(row: RowResults) -> dict[int, list[float]]:
    """Epoch -> AP of each seed."""
    points: dict[int, list[float]] = {}
    for result in row.results.values():
        curve = result['curve']
        for epoch, ap in zip(curve['epochs'], curve['AP']):
            points.setdefault(epoch, []).append(ap)
    return points


def _runs(rows: Sequence[RowResults]) -> str:
    header = [
        *('run', 'seed', 'epochs', 'AP', 'AP50', 'AR', 'iterations'),
        *('s per iteration', 'minutes', 'threads', 'at a time'),
    ]
    return table(
        header,
        (_run(row, seed, result) for row, seed, result in _each(rows)),
    )


def _run(row: RowResults, seed: int, result: dict) -> list[str]:
    metrics = [result['metrics'][e] for e in row.row.run.evaluations]
    seconds = result['wall_seconds']
    return [
        f'`{row.row.run.name}`',
        str(seed),
        f'{result["epochs"]} of {result["epochs_of_config"]}',
        *(
            ' / '.join(f'{found[metric]:.1f}' for found in metrics)
            for metric in ('AP', 'AP50', 'AR')
        ),
        str(result['iterations']),
        f'{result["seconds_per_iteration"]:.3f}',
        'interrupted' if seconds is None else f'{seconds / 60:.1f}',
        str(result['threads']),
        str(result['jobs']),
    ]


def _machines(rows: Sequence[RowResults]) -> list[str]:
    """One line for all runs that differ in the commit alone."""
    commits: dict[str, dict[str, None]] = {}
    for *_, result in _each(rows):
        facts = {**result['machine'], **result['versions']}
        commit = facts.pop('commit', None)
        text = ', '.join(f'{key} {value}' for key, value in facts.items())
        found = commits.setdefault(text, {})
        if commit is not None:
            found[commit] = None
    return [
        f'Machine and versions: {text}{_format_commits(found)}.'
        for text, found in commits.items()
    ]


def _format_commits(commits: Collection[str]) -> str:
    word = 'commit' if len(commits) == 1 else 'commits'
    return f', {word} {", ".join(commits)}' if commits else ''


def _commands(rows: Sequence[RowResults]) -> str:
    # The first trains, the others evaluate.
    commands = [result['commands'][0] for *_, result in _each(rows)]
    lines = ['<details><summary>Commands of the trainings</summary>', '']
    return '\n'.join([*lines, '```sh', *commands, '```', '', '</details>'])


def _each(
    rows: Sequence[RowResults],
) -> list[tuple[RowResults, int, dict]]:
    return [
        (row, seed, result)
        for row in rows
        for seed, result in sorted(row.results.items())
    ]
