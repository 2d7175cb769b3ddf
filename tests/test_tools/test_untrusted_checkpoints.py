from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmdet_uot import _torch_versions
from mmdet_uot._tools import find_checkpoint


class Code:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(params=['zip', 'pickle'])
def checkpoint(request, tmp_path):
    """A checkpoint with code, in both forms that PyTorch has."""
    file = tmp_path / 'strange.pth'
    torch.save(
        dict(state_dict={}, more=Code(tmp_path / 'ran')),
        file,
        _use_new_zipfile_serialization=request.param == 'zip',
    )
    return file


@pytest.mark.parametrize('given', ['file', 'folder'])
def test_a_checkpoint_with_code_is_refused(checkpoint, given):
    path = checkpoint if given == 'file' else checkpoint.parent
    with pytest.raises(SystemExit, match='can run code; if you trust') as e:
        find_checkpoint(str(path))
    assert 'strange.pth' in str(e.value) and '\n' not in str(e.value)
    assert not (checkpoint.parent / 'ran').exists()


@pytest.mark.filterwarnings('ignore:Environment variable TORCH_FORCE_NO')
def test_the_user_may_trust_it(checkpoint, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    assert find_checkpoint(str(checkpoint)) == str(checkpoint)
    assert (checkpoint.parent / 'ran').exists()


class Attribute:
    """Reads an attribute when it is unpickled."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return getattr, self.arguments


@pytest.fixture
def _old_torch(monkeypatch):
    """Files are read as where torch has no list of what may be read."""
    monkeypatch.setattr(_torch_versions, '_HAS_LIST', False)


@pytest.mark.usefixtures('_old_torch')
def test_before_torch_2_4_histories_are_read(tmp_path):
    file = tmp_path / 'history.pth'
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save(dict(state_dict={'w': torch.ones(2)}, history=history), file)
    assert find_checkpoint(str(file)) == str(file)


@pytest.mark.usefixtures('_old_torch')
@pytest.mark.parametrize('name', ['__init__', '__globals__', '_mean'])
def test_before_torch_2_4_code_is_refused_too(name, checkpoint, tmp_path):
    with pytest.raises(SystemExit, match='can run code'):
        find_checkpoint(str(checkpoint))
    assert not (checkpoint.parent / 'ran').exists()
    file = tmp_path / 'attribute.pth'
    torch.save(dict(more=Attribute(HistoryBuffer, name)), file)
    with pytest.raises(SystemExit, match='can run code'):
        find_checkpoint(str(file))
