"""Markdown and figures of known results."""

import numpy as np
import pytest
from reproduction.catalogue import TRAININGS
from reproduction.differences import compare
from reproduction.experiment import Experiment, Row
from reproduction.figures import draw_experiment
from reproduction.markdown import format_numbers
from reproduction.report import format_report
from reproduction.row_results import RowResults
from reproduction.runs import Run
from scipy.stats import ttest_rel


def result(seed, metrics, curve=()):
    return dict(
        seed=seed,
        epochs=12,
        epochs_of_config=24,
        metrics={
            name: dict(AP=ap, AP50=ap + 30, AR=ar)
            for name, (ap, ar) in metrics.items()
        },
        curve=dict(epochs=[6, 12], AP=list(curve)),
        iterations=720,
        seconds_per_iteration=0.5,
        wall_seconds=390.0,
        threads=1,
        jobs=2,
        machine=dict(processor='some'),
        versions=dict(torch='2', commit=f'c{seed}'),
        commands=[f'train seed={seed}', 'test'],
    )


@pytest.fixture
def table2():
    """Two seeds of the first row, one of the third, nothing else."""
    rows = [RowResults(row, {}) for row in TRAININGS['table2'].rows]
    first, second, third, *others = rows
    return [
        RowResults(
            first.row,
            {
                0: result(0, dict(nms=(61.0, 67.0), no_nms=(30.0, 75.0))),
                1: result(1, dict(nms=(62.0, 68.0), no_nms=(31.0, 75.0))),
            },
        ),
        second,
        RowResults(
            third.row,
            {0: result(0, dict(nms=(60.0, 66.5), no_nms=(33.0, 74.0)))},
        ),
        *others,
    ]


@pytest.fixture
def fig5():
    """One seed of each."""
    return [
        RowResults(row, {0: result(0, dict(plain=(ap, 40.0)), (ap / 2, ap))})
        for row, ap in zip(TRAININGS['fig5'].at('cpu'), (22.0, 20.0))
    ]


def lines_of(name, rows):
    return format_report(name, TRAININGS[name], 'cpu', rows).split('\n')


def test_measured_numbers_stand_beside_the_papers(table2):
    lines = lines_of('table2', table2)
    assert (
        '| matching | tau2 | AP with NMS | AR with NMS | AP w/o NMS '
        '| AR w/o NMS | paper: AP with NMS | paper: AR with NMS '
        '| paper: AP w/o NMS | paper: AR w/o NMS |'
    ) in lines
    assert (
        '| two-stage | – | 61.5 (61.0–62.0) | 67.5 (67.0–68.0) '
        '| 30.5 (30.0–31.0) | 75.0 (75.0–75.0) | 51.6 | 67.0 | 23.2 | 77.8 |'
    ) in lines
    assert (
        '| unbalanced OT | 0.01 | 60.0 | 66.5 | 33.0 | 74.0 '
        '| 51.1 | 66.3 | 25.3 | 76.5 |'
    ) in lines
    assert (
        '| OT | (inf) | – | – | – | – | 48.1 | 64.3 | 45.2 | 73.0 |' in lines
    )


def test_every_run_is_listed_with_seed_schedule_time_and_command(table2):
    lines = lines_of('table2', table2)
    assert (
        '| `ssd300_two_stage` | 1 | 12 of 24 | 62.0 / 31.0 | 92.0 / 61.0 '
        '| 68.0 / 75.0 | 720 | 0.500 | 6.5 | 1 | 2 |'
    ) in lines
    machine = 'Machine and versions: processor some, torch 2, commits c0, c1.'
    assert machine in lines
    assert [line for line in lines if line.startswith('train')] == [
        *('train seed=0', 'train seed=1', 'train seed=0')
    ]


def test_ap_by_epoch_is_a_table(fig5):
    lines = lines_of('fig5', fig5)
    assert '| matching | 6 | 12 |' in lines
    assert '| OT | 11.0 | 22.0 |' in lines
    assert '| Hungarian | 20.0 | 40.0 | 45.3 | 60.7 |' in lines


def test_fig_14_has_no_numbers_of_the_paper():
    rows = [RowResults(row, {}) for row in TRAININGS['fig14'].at('cpu')]
    text = '\n'.join(lines_of('fig14', rows))
    assert 'paper: AP' not in text
    assert 'AP with NMS' in text
    assert '| SSD300, tau2 = 0.01 | 50 | – | – | – | – |' in text


@pytest.mark.parametrize(
    'numbers, text',
    [([], '–'), ([1.25], '1.2'), ([1.0, 2.0, 6.0], '3.0 (1.0–6.0)')],
)
def test_numbers_of_seeds(numbers, text):
    assert format_numbers(numbers) == text


def test_the_figure_shows_means_and_the_paper(table2):
    figure = draw_experiment(TRAININGS['table2'], table2)
    axes = {x.get_label(): x for x in figure.axes}
    assert {*axes} == {'AP', 'AR'}
    lines = [[*line.get_ydata()] for line in axes['AP'].lines]
    assert [61.5, 60.0] in lines
    assert [30.5, 33.0] in lines
    assert [51.6, 51.1, 50.9, 48.3, 48.0, 48.1] in lines
    ticks = [text.get_text() for text in axes['AR'].get_xticklabels()]
    assert ticks == [
        *('two-stage', '\nSSDHead'),
        *('0.01', '0.1', '1', '10', '(inf)'),
    ]


def test_the_figure_of_fig_5_is_ap_by_epoch(fig5):
    figure = draw_experiment(TRAININGS['fig5'], fig5)
    (axes,) = figure.axes
    assert [
        (line.get_label(), *line.get_xdata(), *line.get_ydata())
        for line in axes.lines
    ] == [('OT', 6, 12, 11, 22), ('Hungarian', 6, 12, 10, 20)]


def test_what_differs_in_kind_is_not_joined():
    rows = [
        RowResults(
            row, {0: result(0, dict(nms=(50.0 + i, 60), no_nms=(30, 70)))}
        )
        for i, row in enumerate(TRAININGS['learning_rates'].at('cpu'))
    ]
    figure = draw_experiment(TRAININGS['learning_rates'], rows)
    axes = {x.get_label(): x for x in figure.axes}['AP']
    lines = [[*line.get_ydata()] for line in axes.lines]
    for start in (50, 56, 62):
        assert [*range(start, start + 6)] in lines
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == [
        *('0.001', '0.002', '0.004', '0.008\ntwo-stage', '0.016', '0.032'),
        *('0.001', '0.002', '0.004', '0.008\ntau2 = 0.01', '0.016', '0.032'),
        *('0.001', '0.002', '0.004', '0.008\nOT', '0.016', '0.032'),
    ]


def test_differences_are_paired_by_seed():
    """Against the first of a group, by SciPy's paired t-test."""
    generator = np.random.default_rng(0)
    values = generator.normal(50, 5, (4, 3))
    names = [('A', 'stock'), ('A', 'plan'), ('B', 'stock'), ('B', 'plan')]
    runs = [Run(str(i), 'x', evaluations=dict(plain={})) for i in range(4)]
    experiment = Experiment(
        'title',
        ('detector', 'matching'),
        tuple(Row(cells, run) for cells, run in zip(names, runs)),
        group_by=1,
    )
    rows = [
        RowResults(
            row,
            {
                seed: dict(metrics=dict(plain=dict(AP=ap, AR=0.0)))
                for seed, ap in enumerate(aps)
            },
        )
        for row, aps in zip(experiment.rows, values)
    ]
    found = compare(experiment, rows)
    assert [x.reference.cells for x in found] == [names[0], names[2]]
    for difference, (stock, plan) in zip(found, values.reshape(2, 2, 3)):
        test = ttest_rel(plan, stock)
        assert difference.interval == pytest.approx(test.confidence_interval())
        assert difference.mean == pytest.approx(plan.mean() - stock.mean())
    del rows[1].results[2]
    two, _ = compare(experiment, rows)
    assert two.points == pytest.approx((values[1] - values[0])[:2])
    assert two.interval is None
