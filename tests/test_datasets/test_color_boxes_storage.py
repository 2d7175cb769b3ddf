import json
import os
import re
import runpy
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock

from mmdet_uot.datasets import ColorBoxesDataset
from mmdet_uot.datasets.color_boxes import (
    ColorBoxesOptions,
    annotation_file,
    ensure_split,
    image_dir,
    refuse_misspelt,
)

REPOSITORY = Path(__file__).parents[2]


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.01)


def test_generator_needs_neither_torch_nor_mm(start_generator):
    process = start_generator(
        "found = {'torch', 'mmdet', 'mmcv', 'mmengine'} & set(sys.modules)\n"
        'assert not found, found'
    )
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def test_layout(small_root, small_options):
    coco = json.loads((small_root / 'annotations/train.json').read_text())
    assert annotation_file('train') == 'annotations/train.json'
    assert image_dir('train') == 'train/'
    assert len(coco['images']) == 24
    assert [item['id'] for item in coco['categories']] == list(range(1, 21))
    ids = [item['id'] for item in coco['annotations']]
    assert ids == list(range(1, len(ids) + 1))
    for image in coco['images']:
        assert (small_root / 'train' / image['file_name']).is_file()
    for item in coco['annotations']:
        x, y, width, height = item['bbox']
        polygon = item['segmentation'][0]
        assert x == min(polygon[::2]) and y == min(polygon[1::2])
        assert x + width == pytest.approx(max(polygon[::2]))
        assert y + height == pytest.approx(max(polygon[1::2]))
        assert 12**2 - 1 < item['area'] <= width * height
    options = json.loads((small_root / 'train/color_boxes.json').read_text())
    assert options == {'num_images': 24, **small_options.to_json()}


def test_any_number_of_workers_and_images_gives_the_same_images(
    tmp_path, small_root, small_options, contents
):
    for workers in (1, 5):
        root = tmp_path / str(workers)
        ensure_split(
            root,
            'val',
            num_images=12,
            options=small_options,
            workers=workers,
        )
        made = contents(root)
        assert made == {
            name: data
            for name, data in contents(small_root).items()
            if 'val' in name
        }
    fewer = tmp_path / 'fewer'
    ensure_split(fewer, 'val', num_images=7, options=small_options)
    for name, data in contents(fewer / 'val').items():
        if name.endswith('.png'):
            assert data == made[f'val/{name}']
    few, many = (
        json.loads((root / 'annotations/val.json').read_text())
        for root in (fewer, small_root)
    )
    number = len(few['annotations'])
    assert few['images'] == many['images'][:7]
    assert few['annotations'] == many['annotations'][:number]


def test_what_is_there_is_not_touched(small_root, small_options, contents):
    before = {p: p.stat().st_mtime_ns for p in small_root.rglob('*')}
    ensure_split(small_root, 'train', num_images=24, options=small_options)
    assert before == {p: p.stat().st_mtime_ns for p in small_root.rglob('*')}


def test_a_killed_run_leaves_nothing_that_looks_whole(
    tmp_path, small_options, start_generator, contents, small_root
):
    process = start_generator(
        f'ensure_split({str(tmp_path)!r}, "train", num_images=20000,'
        ' options=small)'
    )
    wait_until(lambda: len(list(tmp_path.glob('.train.*/images/*.png'))) > 5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / 'train').exists()
    assert not (tmp_path / 'annotations/train.json').exists()
    with pytest.raises(FileNotFoundError):
        ensure_split(tmp_path, 'train', generate=False)

    ensure_split(tmp_path, 'train', num_images=24, options=small_options)
    assert not list(tmp_path.glob('*.partial'))
    assert not list(tmp_path.glob('.*.partial'))
    assert contents(tmp_path / 'train') == contents(small_root / 'train')


def test_a_run_killed_between_its_two_renames_is_made_again(
    tmp_path, small_options, monkeypatch
):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, 'rename', die)
        with pytest.raises(KeyboardInterrupt):
            ensure_split(tmp_path, 'val', num_images=5, options=small_options)
    assert (tmp_path / 'annotations/val.json').exists()
    assert not (tmp_path / 'val').exists()
    ensure_split(tmp_path, 'val', num_images=3, options=small_options)
    coco = json.loads((tmp_path / 'annotations/val.json').read_text())
    assert len(coco['images']) == len(list(tmp_path.glob('val/*.png'))) == 3


def test_an_error_while_writing_leaves_nothing(
    tmp_path, small_options, monkeypatch
):
    def full(*_):
        raise OSError('No space left on device')

    monkeypatch.setattr(
        'mmdet_uot.datasets.color_boxes.write.cv2.imencode', full
    )
    with pytest.raises(OSError, match='No space left'):
        ensure_split(tmp_path, 'val', num_images=50, options=small_options)
    assert [path.suffix for path in tmp_path.iterdir()] in ([], ['.lock'])


def test_several_processes_make_a_split_once(tmp_path, start_generator):
    code = (
        f'ensure_split({str(tmp_path)!r}, "train", num_images=200,'
        ' options=small, workers=1)'
    )
    processes = [start_generator(code) for _ in range(3)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert sum('200/200' in text for text in errors) == 1
    assert len(list(tmp_path.glob('train/*.png'))) == 200


def test_a_waiting_process_says_so(tmp_path, start_generator):
    with FileLock(tmp_path / '.val.lock'):
        process = start_generator(
            f'ensure_split({str(tmp_path)!r}, "val", num_images=2,'
            ' options=small)'
        )
        line = process.stderr.readline()
    assert "waiting for the process that makes 'val'" in line
    assert '.val.lock' in line
    process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'seed': 7}, 'made with seed=0, but is asked for with seed=7'),
        (
            {'noise_std': 0.1},
            'made with noise_std=0.05, but is asked for with',
        ),
        (
            {'image_size': (200, 140)},
            r'image_size=\[160, 140\], but is asked for',
        ),
    ],
)
def test_other_options_are_an_error(
    small_root, small_options, change, message
):
    kwargs = {
        name: value
        for name, value in small_options.to_json().items()
        if name != 'generator'
    }
    options = ColorBoxesOptions(**{**kwargs, **change})
    with pytest.raises(ValueError, match=message) as error:
        ensure_split(small_root, 'train', num_images=24, options=options)
    assert 'choose another data_root, or delete' in str(error.value)


def test_another_number_of_images_names_the_way_out(small_root, small_options):
    with pytest.raises(ValueError, match='num_images=24 and add indices=8'):
        ensure_split(small_root, 'train', num_images=8, options=small_options)
    with pytest.raises(ValueError, match='choose another data_root') as error:
        ensure_split(small_root, 'train', num_images=30, options=small_options)
    assert 'indices' not in str(error.value)


def test_missing_set_names_the_command_that_makes_it(tmp_path, monkeypatch):
    root = tmp_path / 'new'
    options = ColorBoxesOptions(seed=3, image_size=(200, 160), max_objects=2)
    ask = partial(
        ensure_split,
        root,
        'val',
        num_images=2,
        options=options,
        generate=False,
    )
    with pytest.raises(FileNotFoundError) as error:
        ask()
    assert not root.exists()
    command = re.search('python (tools/.*)', str(error.value)).group(1)
    tool, *arguments = command.split()
    monkeypatch.setattr(sys, 'argv', [tool, *arguments, '--report'])
    runpy.run_path(str(REPOSITORY / tool), run_name='__main__')
    ask()
    assert (root / 'report_val.png').is_file()
    assert not (root / 'train').exists()


def test_files_of_others_are_left_alone(tmp_path, small_options):
    (tmp_path / 'train').mkdir()
    (tmp_path / 'train/mine.png').write_text('mine')
    with pytest.raises(FileExistsError, match='not a Color Boxes split'):
        ensure_split(tmp_path, 'train', num_images=2, options=small_options)
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations/val.json').write_text('{"info": {}}')
    with pytest.raises(FileExistsError, match='not a Color Boxes file'):
        ensure_split(tmp_path, 'val', num_images=2, options=small_options)
    assert (tmp_path / 'train/mine.png').read_text() == 'mine'
    assert (tmp_path / 'annotations/val.json').read_text() == '{"info": {}}'


@pytest.mark.parametrize('name', ['val/000001.png', 'annotations/val.json'])
def test_removed_files_are_noticed(tmp_path, small_options, name):
    ensure_split(tmp_path, 'val', num_images=3, options=small_options)
    (tmp_path / name).unlink()
    with pytest.raises(RuntimeError, match='delete .* made again'):
        ensure_split(tmp_path, 'val', num_images=3, options=small_options)


def test_too_small_a_disk_is_told_before_writing(tmp_path):
    with pytest.raises(OSError, match=r'need up to .* GB .* choose another'):
        ensure_split(tmp_path, 'train', num_images=10**9)


@pytest.mark.parametrize(
    ('kwargs', 'error', 'message'),
    [
        ({'split': 'test'}, ValueError, "split must be one of .* got 'test'"),
        ({'num_images': 0}, ValueError, 'num_images must be >= 1, got 0'),
        ({'num_images': 2.5}, TypeError, 'num_images must be an integer'),
        ({'workers': 0}, ValueError, 'workers must be >= 1, got 0'),
    ],
)
def test_wrong_arguments_are_named(tmp_path, kwargs, error, message):
    with pytest.raises(error, match=message):
        ensure_split(tmp_path, **{'split': 'train', **kwargs})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('there', 'asked', 'meant'),
    [
        ('data/color_boxes', 'data/color_boxs', 'data/color_boxes'),
        ('data/color_boxes', 'data/colour_boxes', 'data/color_boxes'),
        ('data/color_boxes_cpu', 'data/color_boxes_cp', 'color_boxes_cpu'),
        ('data/color_boxes', 'dat/color_boxes', 'data/color_boxes'),
        ('data/color_boxes', 'data/color_boxes', None),
        ('data/color_boxes', 'data/color_boxes_cpu', None),
        ('data/color_boxes_cpu', 'data/color_boxes', None),
        ('data/color_boxes_1', 'data/color_boxes_2', None),
        ('data/color_boxes', 'data/other', None),
        ('data', 'deep/er/data', None),
    ],
)
def test_a_misspelt_folder_is_an_error(
    there, asked, meant, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / there / 'val').mkdir(parents=True)
    refuse_misspelt(asked, 'train')
    if meant is None:
        refuse_misspelt(asked, 'val')
        return
    with pytest.raises(FileNotFoundError, match=f'did you mean .*{meant}'):
        refuse_misspelt(asked, 'val')
    (tmp_path / asked).mkdir(parents=True)
    refuse_misspelt(asked, 'val')


def test_the_data_set_does_not_make_a_misspelt_one(small_root):
    root = small_root.parent / small_root.name.replace('color', 'colour')
    with pytest.raises(FileNotFoundError, match='did you mean'):
        ColorBoxesDataset(data_root=str(root), num_images=1)
    assert not root.exists()
