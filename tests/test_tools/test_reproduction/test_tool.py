"""The command-line tool, to its table and figure."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from helpers.tools import load_tool
from reproduction.catalogue import TRAININGS
from reproduction.trainings import Settings

TINY = [
    *('model.backbone.base_channels=4', 'model.neck.in_channels=[8,16]'),
    'model.neck.out_channels=[8,16,8,8,8,8]',
    'model.bbox_head.in_channels=[8,16,8,8,8,8]',
    *('train_dataloader.batch_size=2', 'train_dataloader.num_workers=0'),
    'train_dataloader.persistent_workers=False',
    'train_dataloader.dataset.num_images=4',
    'default_hooks.logger.interval=1',
    *(
        f'{split}_dataloader.{option}'
        for split in ('val', 'test')
        for option in (
            *('num_workers=0', 'persistent_workers=False'),
            'dataset.num_images=2',
        )
    ),
]


@pytest.fixture
def tool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return load_tool('reproduce')


@pytest.mark.slow
def test_three_runs_of_table_2_are_trained_and_tabulated(
    tool, monkeypatch, capsys
):
    table2 = TRAININGS['table2']
    three = replace(table2, rows=table2.rows[:3])
    monkeypatch.setitem(TRAININGS, 'table2', three)
    command = [
        *('table2', '--seeds', '5', '--epochs', '1', '--jobs', '2'),
        *('--cfg-options', *TINY),
    ]
    tool.main(command)
    results = Path('results/cpu')
    for run in (row.run for row in three.rows):
        result = json.loads(
            (results / f'{run.name}-1e-seed5.json').read_text()
        )
        assert {*result['metrics']} == {'nms', 'no_nms'}
        assert result['iterations'] == 2
        assert result['seconds_per_iteration'] > 0
        assert result['wall_seconds'] > 0
        if 'SSDHead' in run.options.values():
            assert result['curve']['epochs'] == []
            continue
        assert result['curve']['epochs'] == [1]
        # The checkpoint is that of the last validation.
        assert result['metrics']['nms']['AP'] == result['curve']['AP'][0]
    assert (
        '| `ssd300_two_stage` | 5 | 1 of 10 |'
        in (results / 'table2.md').read_text()
    )
    assert cv2.imread(str(results / 'table2.png')).shape[1] == 900

    # Now there is nothing left to do.
    (results / 'table2.md').unlink()
    before = {file: file.stat().st_mtime_ns for file in Path().rglob('*.pth')}
    capsys.readouterr()
    tool.main(command)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert 'table: results/cpu/table2.md' in capsys.readouterr().out


@pytest.mark.parametrize('name', ['family_search', 'families'])
def test_what_is_not_of_the_paper_has_one_scale(name, tool):
    with pytest.raises(SystemExit, match=f'{name}.*leave --scale out'):
        tool.main([name, '--scale', 'paper'])


@pytest.mark.parametrize(
    'name', [name for name, found in TRAININGS.items() if found.at('paper')]
)
def test_the_scale_of_the_paper_only_says_what_it_needs(name, tool, capsys):
    tool.main([name, '--scale', 'paper'])
    assert [*Path().iterdir()] == []
    out = capsys.readouterr().out
    assert 'GPU memory and time: not known' in out
    commands = [
        shlex.split(line)
        for line in out.splitlines()
        if line.startswith('python ')
    ]
    configs = {Path(words[2]).name for words in commands}
    rows = TRAININGS[name].at('paper')
    assert configs == {row.run.config + '.py' for row in rows}
    for _, script, config, *_ in commands:
        assert Path(script).is_file()
        assert Path(config).is_file()


def test_needs_are_those_of_the_configs(tool, capsys):
    tool.main(['table2', '--scale', 'paper', '--seeds', '0', '1'])
    out = capsys.readouterr().out
    assert 'table2 with the full configs: 14 trainings' in out
    assert (
        '# ssd300_two_stage-120e-seed1: 120 epochs of 4,800 images, 36,000 '
        'iterations of 16 with one process; evaluated on 960 images, 2 x'
    ) in out
    assert f'{14 * 120 * 4_800:,} images in all.' in out


def test_images_of_coco_are_counted_with_repetitions(tool, capsys):
    tool.main(['table1', '--scale', 'paper'])
    out = capsys.readouterr().out
    assert '50 epochs of 118,287 images' in out
    assert f'24 epochs of {5 * 118_287:,} images' in out


@pytest.mark.parametrize(
    'argv, message',
    [
        (['tabel2'], "invalid choice: 'tabel2' .*table2"),
        (['table2', '--jobs', '0'], '--jobs must be at least 1'),
        (['table2', '--epochs', '-1'], '--epochs must be at least 1'),
        (['table2', '--scale', 'gpu'], "invalid choice: 'gpu'"),
    ],
)
def test_what_cannot_be_asked_is_said(argv, message, tool, capsys):
    with pytest.raises(SystemExit):
        tool.main(argv)
    err = capsys.readouterr().err.replace('\n', ' ')
    assert re.search(message, err)


@pytest.mark.parametrize(
    'argv, message',
    [
        (['table2', '--cfg-options', 'x'], "takes KEY=VALUE, got 'x'"),
        (['prop', '--scale', 'paper'], 'same at any scale'),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, message, tool):
    with pytest.raises(SystemExit, match=message) as error:
        tool.main(argv)
    assert str(error.value).startswith('error: ')


@pytest.mark.parametrize(
    'cores, asked, num_jobs, share',
    [
        (2, None, 12, (2, 1)),
        (16, 4, 12, (4, 4)),
        (16, None, 3, (3, 5)),
        (2, 3, 12, (3, 1)),
        (2, None, 0, (1, 2)),
    ],
)
def test_cores_are_shared(cores, asked, num_jobs, share):
    settings = Settings(cores=cores, at_a_time=asked)
    assert settings.share(num_jobs) == share


def test_full_trainings_run_one_at_a_time():
    assert Settings(scale='paper', cores=16).share(12) == (1, 16)
