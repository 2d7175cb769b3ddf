import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from mmengine.config import Config

import mmdet_uot

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
# Tools that build or measure this project alone.
NOT_SHIPPED = (
    'build_wheels',
    'benchmark_matching',
    'benchmarking',
    'reproduce',
    'reproduction',
)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The names in a wheel that is built from a copy of the sources."""
    tmp_path = tmp_path_factory.mktemp('wheel')
    ignored = shutil.ignore_patterns(
        '.*', '__pycache__', 'build', 'dist', 'data', 'work_dirs', 'tests'
    )
    copy = tmp_path / 'copy'
    shutil.copytree(ROOT, copy, ignore=ignored)
    command = [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps']
    command += ['--no-build-isolation', '--wheel-dir', str(tmp_path), '.']
    subprocess.run(command, check=True, cwd=copy)
    (file,) = tmp_path.glob('*.whl')
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_wheel_has_every_module_config_and_tool(wheel):
    missing = [
        str(file.relative_to(ROOT))
        for file in (ROOT / 'mmdet_uot').rglob('*.py')
        if '.mim' not in file.parts
        and str(file.relative_to(ROOT)) not in wheel
    ]
    for pattern in ('configs/**/*.py', 'tools/*.py', 'tools/*.sh'):
        missing += [
            str(file)
            for file in ROOT.glob(pattern)
            if file.stem not in NOT_SHIPPED
            and f'mmdet_uot/.mim/{file.relative_to(ROOT)}' not in wheel
        ]
    assert not missing
    assert 'mmdet_uot/.mim/model-index.yml' in wheel
    assert 'mmdet_uot/py.typed' in wheel


def test_wheel_holds_one_package_and_no_litter(wheel):
    assert not [name for name in wheel if any(x in name for x in NOT_SHIPPED)]
    folders = {name.split('/')[0] for name in wheel}
    version = mmdet_uot.__version__
    assert folders == {'mmdet_uot', f'mmdet_uot-{version}.dist-info'}
    assert not [name for name in wheel if name.endswith('.pyc')]


def test_wheel_forces_no_host_on_anyone(wheel):
    (metadata,) = (wheel[n] for n in wheel if n.endswith('/METADATA'))
    lines = metadata.decode().splitlines()
    needed = [line for line in lines if line.startswith('Requires-Dist')]
    assert any('torch' in line for line in needed)
    for line in needed:
        assert 'mm' not in line or 'extra ==' in line
    assert 'Provides-Extra: onedl' in lines
    assert 'Provides-Extra: openmmlab' in lines


def test_configs_are_found_by_package_name(tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text("_base_ = 'mmdet_uot::ssd300_uot.py'\n")
    shipped = Config.fromfile(ROOT / 'configs' / 'ssd300_uot.py')
    cfg = Config.fromfile(config)
    assert cfg.model._scope_ == 'mmdet'
    assert cfg.model.bbox_head.type == shipped.model.bbox_head.type


def test_unknown_config_by_package_name_says_where_it_looked(tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text("_base_ = 'mmdet_uot::nothing.py'\n")
    with pytest.raises(FileNotFoundError, match=r'no file .*nothing\.py'):
        Config.fromfile(config)


def test_other_packages_configs_are_still_found(tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text("_base_ = 'mmdet::ssd/ssd300_coco.py'\n")
    assert Config.fromfile(config).model.bbox_head.type == 'SSDHead'


def test_core_never_imports_the_host():
    for file in (ROOT / 'mmdet_uot' / 'ot').rglob('*.py'):
        for line in file.read_text().splitlines():
            if line.lstrip().startswith(('import ', 'from ')):
                assert 'mmdet' not in line.replace('mmdet_uot.ot', '')
                assert not {'mmcv', 'mmengine'} & set(line.split())
