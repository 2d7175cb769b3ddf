import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from mmdet_uot import _host

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def run_without(*modules, code):
    """Runs code in a Python where some modules cannot be found."""
    blocked = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if any(name == m or name.startswith(m + '.') for m in {modules!r}):
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Block())
"""
    return subprocess.run(
        [sys.executable, '-c', blocked + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_core_works_without_any_host():
    code = """
import mmdet_uot.ot
import mmdet_uot
assert mmdet_uot.__version__
assert not any(name.split('.')[0] in ('mmdet', 'mmcv', 'mmengine', 'cv2')
               for name in sys.modules)
"""
    run = run_without('mmdet', 'mmcv', 'mmengine', 'triton', code=code)
    assert run.returncode == 0, run.stderr
    assert not run.stderr


@pytest.mark.parametrize(
    'code',
    [
        'from mmdet_uot import heads',
        'import mmdet_uot; mmdet_uot.assigners',
        'from mmdet_uot._host import check_host; check_host()',
    ],
)
def test_the_rest_says_what_to_install(code):
    run = run_without('mmdet', 'mmcv', 'mmengine', code=code)
    assert 'ImportError: mmdet_uot needs MMDetection 3.x' in run.stderr
    assert 'mmdet, mmcv, mmengine cannot be found' in run.stderr
    for stack in _host.STACKS.values():
        for name, version in stack.items():
            assert f'{name} {version}' in run.stderr


@pytest.mark.parametrize(
    ('missing', 'message'),
    [
        ('mmcv', 'but mmcv cannot be found'),
        ('mmcv._ext', 'mmcv with its compiled operators'),
    ],
)
def test_incomplete_host_is_an_error_at_import(missing, message):
    run = run_without(missing, code='import mmdet_uot')
    assert run.stderr.strip().splitlines()[-1].startswith('ImportError')
    assert message in run.stderr


def test_tested_host_gives_no_warning(monkeypatch):
    for stack in _host.STACKS.values():
        versions = dict(zip(_host.MODULES, stack.values()))
        monkeypatch.setattr(_host, '_version', versions.__getitem__)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            _host.check_host()


def test_mixed_stacks_give_one_warning(monkeypatch):
    versions = {'mmdet': '3.3.0', 'mmcv': '2.3.6', 'mmengine': '0.10.7'}
    monkeypatch.setattr(_host, '_version', versions.__getitem__)
    with pytest.warns(UserWarning, match=r'mmdet 3\.3\.0, mmcv 2\.3\.6') as w:
        _host.check_host()
        _host.check_host()
    assert len(w) == 1


def test_tested_versions_are_the_pinned_ones():
    pins = (ROOT / 'requirements' / 'constraints.txt').read_text()
    for name, version in _host.STACKS['onedl'].items():
        assert re.search(rf'^{name}=={re.escape(version)}$', pins, re.M)


def test_the_import_prints_nothing():
    run = run_without(code='import mmdet_uot')
    assert run.returncode == 0, run.stderr
    assert run.stdout == ''
