"""Draws matchings with the command-line tool."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.tools import load_tool
from mmengine.config import Config

from mmdet_uot.matched_images.detector import build_detector
from mmdet_uot.matched_images.record import record_matching
from mmdet_uot.matched_images.samples import load_dataset
from mmdet_uot.visualization.epochs_figure import kept_share

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DETR = str(ROOT / 'configs' / 'detr_ot_cpu.py')
HUNGARIAN = str(ROOT / 'configs' / 'detr_hungarian_cpu.py')
SSD = str(ROOT / 'configs' / 'ssd300_uot_cpu.py')


@pytest.fixture(scope='module')
def tool():
    return load_tool('plot_matching')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('plot_matching')


@pytest.fixture(scope='module')
def options(folder):
    return [
        '--cfg-options',
        f'val_dataloader.dataset.data_root={folder}/data/',
        'val_dataloader.dataset.num_images=3',
    ]


@pytest.fixture(scope='module')
def checkpoints(folder):
    """Random weights of DETR, as MMEngine stores them."""
    torch.manual_seed(0)
    (folder / 'work').mkdir()
    paths = [folder / 'work' / f'epoch_{i}.pth' for i in (1, 2)]
    for path in paths:
        model = build_detector(Config.fromfile(DETR))
        torch.save({'meta': {}, 'state_dict': model.state_dict()}, path)
    return [str(path) for path in paths]


@pytest.fixture
def run(tool, options, tmp_path, monkeypatch, capsys):
    """Runs the tool elsewhere than in the repository."""
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        tool.main([*argv, *options])
        lines = capsys.readouterr().out.splitlines()
        return [
            Path(line.replace('picture: ', ''))
            for line in lines
            if line.startswith('picture: ')
        ]

    return run


def test_without_arguments_there_is_an_example(tmp_path):
    """As a new user runs it, in a folder of his own."""
    command = [sys.executable, str(ROOT / 'tools/plot_matching.py')]
    printed = subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    for name in ('matching', 'plan', 'grid', 'presets'):
        path = f'work_dirs/plot_matching/{name}.png'
        assert f'picture: {path}\n' in printed
        assert cv2.imread(str(tmp_path / path)).shape[1] == 900


def test_the_pictures_of_the_readme_are_those_of_the_tool(run, tmp_path):
    """By the command that the documentation names."""
    run('--out-dir', str(tmp_path), '--scale', '1.33')
    for name in ('matching', 'plan'):
        documented = ROOT / 'docs' / f'{name}.png'
        assert documented.stat().st_size < 120_000
        image = cv2.imread(str(documented)).astype(int)
        drawn = cv2.imread(str(tmp_path / f'{name}.png'))
        assert image.shape == drawn.shape
        # Other versions of FreeType draw letters a little differently.
        assert (abs(image - drawn).max(2) > 64).mean() < 0.005


def test_one_checkpoint_gives_its_matching_and_its_plan(run, checkpoints):
    pictures = run(DETR, checkpoints[0], '--image', '2')
    assert [path.name for path in pictures] == ['plan.png', 'matching.png']
    assert all(cv2.imread(str(path)).shape[1] == 900 for path in pictures)


def test_a_work_dir_means_its_latest_checkpoint(
    tool, run, checkpoints, monkeypatch
):
    titles = []
    monkeypatch.setattr(
        tool, 'draw_matching', lambda *_, title: titles.append(title)
    )
    monkeypatch.setattr(tool, 'save', lambda *_, **__: None)
    run(DETR, str(Path(checkpoints[0]).parent), '--image', '000001.png')
    assert titles == ['detr_ot_cpu, epoch 2, image 000001.png']


def test_two_detectors_are_compared_epoch_by_epoch(
    tool, run, checkpoints, options, monkeypatch
):
    drawn = []
    original = tool.draw_epochs

    def draw_epochs(matchers, **kwargs):
        drawn.append(matchers)
        return original(matchers, **kwargs)

    monkeypatch.setattr(tool, 'draw_epochs', draw_epochs)
    pictures = run(
        DETR, *checkpoints, '--image', '2', '--versus', HUNGARIAN, *checkpoints
    )
    assert pictures[-1].name == 'epochs.png'
    (matchers,) = drawn
    assert [*matchers] == ['detr_ot_cpu', 'detr_hungarian_cpu']
    for config, epochs in zip((DETR, HUNGARIAN), matchers.values()):
        cfg = Config.fromfile(config)
        cfg.merge_from_dict(dict(x.split('=') for x in options[1:2]))
        cfg.merge_from_dict({'val_dataloader.dataset.num_images': 3})
        sample = load_dataset(cfg, 'val')[2]
        model = build_detector(cfg)
        assert [*epochs] == ['epoch 1', 'epoch 2']
        for path, matched in zip(checkpoints, epochs.values()):
            model.load_state_dict(torch.load(path)['state_dict'])
            record = record_matching(model, sample)
            np.testing.assert_array_equal(record.weights, matched.weights)
    # Random weights: a soft match hardly differs, a hard one does.
    shares = [
        kept_share(np.stack([x.weights[:, :-1] for x in epochs.values()]), 1)
        for epochs in matchers.values()
    ]
    assert shares[0] > shares[1]


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['nothing.py', 'x.pth'], r"no config 'nothing\.py'"),
        ([DETR], 'give a checkpoint, or a work dir, after the config'),
        ([DETR, 'nothing.pth'], r"no checkpoint 'nothing\.pth'"),
        ([DETR, '{0}', '--image', '3'], 'from 0 to 2, or a file name like'),
        ([DETR, '{0}', '--image', 'cat.jpg'], r"no image 'cat\.jpg'"),
        ([SSD, '{0}'], r'of another model: it lacks \d+ of \d+ parameters'),
        ([DETR, '{0}', '{0}'], 'checkpoints must differ in their names'),
        ([DETR, '{0}', '--versus', HUNGARIAN], r'as many .*\(1\)'),
        ([DETR, '{0}', '--out-dir', '{0}'], 'Not a directory|File exists'),
        (['--out-dir', '/dev/null/x'], 'Not a directory'),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, message, run, checkpoints):
    with pytest.raises(SystemExit, match=message) as error:
        run(*(text.format(*checkpoints) for text in argv))
    assert str(error.value).startswith('error: ')
    assert '\n' not in str(error.value)


def test_an_image_without_objects_is_drawn_too(
    tool, checkpoints, tmp_path, capsys
):
    data = [
        f'val_dataloader.dataset.data_root={tmp_path}/data/',
        'val_dataloader.dataset.num_images=1',
        'val_dataloader.dataset.max_objects=0',
    ]
    out = ['--out-dir', str(tmp_path / 'pictures')]
    tool.main([DETR, *checkpoints, *out, '--cfg-options', *data])
    assert capsys.readouterr().out.count('picture: ') == 3
