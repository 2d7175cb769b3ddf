"""The experiments without a training."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from reproduction import limit_cases, measurements, timings
from reproduction.measurements import MEASUREMENTS, take_measurement

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def distances():
    return {
        (part, row['name']): [*row['distances'].values()]
        for part, rows in limit_cases.measure(1).items()
        for row in rows
    }


def test_exact_matchers_are_the_limits_of_epsilon(distances):
    for (part, name), values in distances.items():
        if part == 'epsilon':
            assert values == sorted(values, reverse=True), name
            assert values[-1] < 1e-3 < values[0]


def test_softmax_formulas_hold_at_any_epsilon(distances):
    values = [v for (part, _), v in distances.items() if part == 'softmax']
    assert len(values) == 3
    assert max(map(max, values)) < 1e-12


def test_hard_and_free_masses_are_the_limits_of_tau(distances):
    for (part, name), values in distances.items():
        if part == 'tau':
            # From the greatest tau to the least.
            nearer = values[::-1] if 'to inf' in name else values
            assert nearer == sorted(nearer, reverse=True), name
            assert nearer[-1] < 1e-3 < 0.1 < nearer[0]


def test_a_measurement_is_taken_once(tmp_path, monkeypatch):
    calls = []

    def measure(threads):
        calls.append(threads)
        return limit_cases.measure(threads)

    prop = MEASUREMENTS['prop']
    counting = measurements.Measurement(
        prop.title, prop.claim, measure, prop.tabulate, prop.draw
    )
    monkeypatch.setitem(MEASUREMENTS, 'prop', counting)
    take_measurement('prop', tmp_path, threads=1, start=False)
    assert [*tmp_path.iterdir()] == []
    for _ in range(2):
        take_measurement('prop', tmp_path, threads=1, start=True)
    assert calls == [1]
    result = json.loads((tmp_path / 'prop.json').read_text())
    assert result['machine']['cores'] >= 1
    report = (tmp_path / 'prop.md').read_text()
    assert report.count('\n| hungarian | ') == 1
    assert cv2.imread(str(tmp_path / 'prop.png')).shape[1] == 900


def test_times_survive_json_and_stand_side_by_side(tmp_path: Path):
    values = timings.measure_growth(
        1, num_objects=(3,), num_preds=(10, 20), repeats=1
    )
    values = json.loads(json.dumps(values))
    rows = timings.tabulate_growth(values).split('\n')[2:]
    times = [[cell.strip() for cell in row.split('|')] for row in rows]
    assert [cells[1:3] for cells in times] == [['3', '10'], ['3', '20']]
    timings.draw_growth(values, tmp_path / 'growth.png')
    assert (tmp_path / 'growth.png').is_file()


def test_phases_stand_beside_those_of_table_4(tmp_path):
    values = timings.measure_step(1, num_images=2, repeats=1)
    values = json.loads(json.dumps(values))
    rows = timings.tabulate_step(values).split('\n')
    (matching,) = [row for row in rows if row.startswith('| matching |')]
    assert matching.endswith('| 1.1 | 1.5 | 18.3 | 2.3 |')
    timings.draw_step(values, tmp_path / 'step.png')
    assert (tmp_path / 'step.png').is_file()
