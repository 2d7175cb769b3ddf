"""Draws the curves of trainings with the command-line tool."""

import json
from pathlib import Path

import cv2
import pytest
from helpers.tools import load_tool


@pytest.fixture(scope='module')
def tool():
    return load_tool('plot_convergence')


@pytest.fixture
def drawn(tool, monkeypatch):
    """What reaches the figure."""
    seen = []
    original = tool.draw_curves

    def draw_curves(logs, keys):
        seen.append((logs, keys))
        return original(logs, keys)

    monkeypatch.setattr(tool, 'draw_curves', draw_curves)
    return seen


@pytest.fixture
def trainings(tmp_path, monkeypatch):
    """Two trainings in `work_dirs`, the second of two epochs."""
    monkeypatch.chdir(tmp_path)
    for name, losses in (('detr_ot', [4.0]), ('detr_hungarian', [5.0, 3.0])):
        path = Path('work_dirs', name, '20260101_000000', 'vis_data')
        path.mkdir(parents=True)
        lines = [
            json.dumps(dict(loss=loss, epoch=epoch, iter=epoch))
            for epoch, loss in enumerate(losses, start=1)
        ]
        (path / 'scalars.json').write_text('\n'.join(lines) + '\n')
    Path('work_dirs', 'without_logs').mkdir()
    return ['work_dirs/detr_ot', 'work_dirs/detr_hungarian']


def test_trainings_are_drawn_under_their_names(
    tool, trainings, drawn, capsys, tmp_path
):
    tool.main([*trainings, '--out', 'new/curves.png'])
    ((logs, keys),) = drawn
    assert keys is None
    assert {name: log.curves['loss'].values for name, log in logs.items()} == {
        'detr_ot': [4],
        'detr_hungarian': [5, 3],
    }
    assert capsys.readouterr().out == 'picture: new/curves.png\n'
    assert cv2.imread(str(tmp_path / 'new/curves.png')).shape[1] == 900


def test_without_arguments_all_of_work_dirs_are_drawn(tool, trainings, drawn):
    tool.main([])
    assert [*drawn[0][0]] == ['detr_hungarian', 'detr_ot']
    assert Path('work_dirs/convergence.png').is_file()


def test_labels_and_keys_are_those_asked_for(tool, trainings, drawn):
    tool.main([*trainings, '--labels', 'OT', 'BM', '--keys', 'loss'])
    ((logs, keys),) = drawn
    assert [*logs] == ['OT', 'BM']
    assert keys == ['loss']


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['nothing'], "no logs in 'nothing'"),
        (['{0}', '{0}'], 'need different names.*give --labels'),
        (['{0}', '--labels', 'a', 'b'], 'must give 1 names, got 2'),
        (['{0}', '--keys', 'los'], r"\['los'\]; there are: loss"),
        (['{0}', '--out', 'x.jog'], "Format 'jog' is not supported"),
        (['{0}', '--out', '/dev/null/x.png'], 'File exists|Not a dir'),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, message, tool, trainings):
    with pytest.raises(SystemExit, match=message) as error:
        tool.main([text.format(*trainings) for text in argv])
    assert str(error.value).startswith('error: ')
    assert '\n' not in str(error.value)


def test_nothing_to_draw_is_one_line(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match='error: no training in the folder'):
        tool.main([])
