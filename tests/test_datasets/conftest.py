import subprocess
import sys
from pathlib import Path

import pytest

import mmdet_uot
from mmdet_uot.datasets.color_boxes import ColorBoxesOptions, ensure_split

# Imports the generator without mmdet_uot/__init__.py and what that imports.
GENERATOR_ONLY = """
import sys, types
for name, path in (
    ('mmdet_uot', {root!r}), ('mmdet_uot.datasets', {root!r} + '/datasets')
):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from mmdet_uot.datasets.color_boxes import *
small = ColorBoxesOptions(image_size=(160, 140), max_objects=5)
"""


@pytest.fixture(scope='session')
def small_options():
    return ColorBoxesOptions(image_size=(160, 140), max_objects=5)


@pytest.fixture(scope='session')
def small_root(tmp_path_factory, small_options):
    """A set of 24 + 12 small images. Read only: tests share it."""
    root = tmp_path_factory.mktemp('color_boxes')
    ensure_split(root, 'train', num_images=24, options=small_options)
    ensure_split(root, 'val', num_images=12, options=small_options)
    return root


@pytest.fixture
def start_generator():
    """Start Python code that sees the generator and ``small`` options."""
    processes = []

    def start(code):
        preamble = GENERATOR_ONLY.format(root=mmdet_uot.__path__[0])
        process = subprocess.Popen(
            [sys.executable, '-c', preamble + code],
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture
def contents():
    """Return every file under a folder, locks aside, as path -> bytes."""

    def read(root):
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in Path(root).rglob('*')
            if path.is_file() and path.suffix != '.lock'
        }

    return read
