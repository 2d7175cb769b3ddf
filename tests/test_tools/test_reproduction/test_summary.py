"""The figure and table of all detectors together."""

import json
import shutil
from pathlib import Path

from reproduction.catalogue import TRAININGS
from reproduction.summary import COMPARISONS, write_summary
from reproduction.trainings import Settings

RESULTS = Path(__file__).parents[3] / 'results'


def test_runs_are_those_of_the_experiments():
    for comparison in COMPARISONS:
        rows = TRAININGS[comparison.experiment].rows
        assert {*comparison.runs} <= {row.run.name for row in rows}


def test_it_says_what_the_results_say(tmp_path):
    shutil.copytree(
        RESULTS, tmp_path, dirs_exist_ok=True, copy_function=shutil.copyfile
    )
    ours, stock = (
        [
            json.loads(
                (RESULTS / f'cpu/{name}-10e-seed{seed}.json').read_text()
            )['metrics']['nms']['AP']
            for seed in (1, 2)
        ]
        for name in (
            'faster_rcnn_uot_rpn_background_cost_0.7',
            'faster_rcnn_rpn_pos_iou_thr_0.5',
        )
    )
    write_summary(Settings(results=tmp_path))
    found = (tmp_path / 'cpu/summary.md').read_text()
    (line,) = (x for x in found.splitlines() if x.startswith('| Faster'))
    for one, other in zip(ours, stock):
        assert f'{one - other:+.1f}' in line
    assert (tmp_path / 'cpu/summary.png').is_file()
