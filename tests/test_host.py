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


@pytest.mark.parametrize(
    ('versions', 'is_known'),
    [
        (('3.1.0', '2.0.1', '0.7.1'), True),
        (('3.3.0', '2.2.0', '0.10.7'), True),
        (('3.5.1', '2.3.6', '0.10.12'), True),
        (('3.0.0', '2.0.0', '0.7.1'), False),
        (('4.0.0rc1', '2.1.0', '0.10.7'), False),
    ],
)
def test_versions_out_of_range_give_one_warning(
    versions, is_known, monkeypatch
):
    found = dict(zip(_host.MODULES, versions))
    monkeypatch.setattr(_host, '_version', found.__getitem__)
    _host._warn_of_unknown.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        _host.check_host()
        _host.check_host()
    texts = [str(entry.message) for entry in caught]
    assert len(texts) == (0 if is_known else 1)
    assert all(f'mmdet {versions[0]}, mmcv' in text for text in texts)


def test_tested_versions_are_the_pinned_ones():
    pins = (ROOT / 'requirements' / 'constraints.txt').read_text()
    for name, version in _host.STACKS['onedl'].items():
        assert re.search(rf'^{name}=={re.escape(version)}$', pins, re.M)


def test_the_import_prints_nothing():
    run = run_without(code='import mmdet_uot')
    assert run.returncode == 0, run.stderr
    assert run.stdout == ''
