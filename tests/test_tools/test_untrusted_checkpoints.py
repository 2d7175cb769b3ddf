from pathlib import Path

import pytest
import torch

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
