"""Draws the images of a config with the command-line tool."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.tools import load_tool

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def tool():
    return load_tool('browse_color_boxes')


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    return tmp_path_factory.mktemp('browse')


@pytest.fixture
def run(tool, data_root, tmp_path, monkeypatch):
    """Runs the tool elsewhere than in the repository; eight images."""
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        options = [
            f'{split}_dataloader.dataset.{name}={value}'
            for split in ('train', 'val')
            for name, value in (
                ('data_root', f'{data_root}/'),
                ('num_images', 8),
            )
        ]
        tool.main([*argv, '--cfg-options', *options])
        return cv2.imread(str(tmp_path / 'work_dirs/color_boxes.png'))

    return run


@pytest.fixture
def drawn(tool, monkeypatch):
    seen = []
    original = tool.draw_samples

    def draw_samples(samples, **kwargs):
        seen.append((samples, kwargs))
        return original(samples, **kwargs)

    monkeypatch.setattr(tool, 'draw_samples', draw_samples)
    return seen


def files(samples):
    return [Path(x['data_samples'].img_path).name for x in samples]


def test_without_arguments_training_images_are_drawn(run, drawn, capsys):
    assert run().shape[1] == 900
    assert 'picture: work_dirs/color_boxes.png\n' in capsys.readouterr().out
    ((samples, options),) = drawn
    assert files(samples) == [f'00000{i}.png' for i in range(8)]
    assert options['title'] == 'ssd300_uot_cpu, train'
    assert options['classes'] is None


def test_some_images_of_another_config(run, drawn):
    config = str(ROOT / 'configs' / 'detr_ot_cpu.py')
    run(config, '--split', 'val', '--first', '6', '--count', '9', '--names')
    ((samples, options),) = drawn
    assert files(samples) == ['000006.png', '000007.png']
    assert samples[0]['inputs'].shape == (3, 200, 250)
    assert options['title'] == 'detr_ot_cpu, val'
    assert len(options['classes']) == 20


def test_the_same_augmentation_is_drawn_every_time(run, drawn):
    assert np.array_equal(run(), run())
    # Half of the images are flipped, so not all go the same way.
    flips = {x['data_samples'].flip for x in drawn[0][0]}
    assert flips == {True, False}


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (
            ['nothing.py'],
            r"no config 'nothing\.py'; those shipped: .*configs$",
        ),
        (['ssd300_uott.py'], r'did you mean: \S*configs/ssd300_uot\.py,'),
        (['--count', '0'], '--count must be at least 1'),
        (['--first', '-1'], '--first at least 0'),
        (['--first', '8'], 'the dataset has 8 images'),
        (['--out', '/dev/null/x.png'], 'File exists|Not a dir'),
        (['{mini}'], 'the config has no train_dataloader'),
    ],
)
def test_what_cannot_be_done_is_one_line(argv, message, run, tmp_path):
    mini = tmp_path / 'mini.py'
    mini.write_text("default_scope = 'mmdet'\n")
    with pytest.raises(SystemExit, match=message) as error:
        run(*(text.format(mini=mini) for text in argv))
    assert str(error.value).startswith('error: ')
    assert '\n' not in str(error.value)
