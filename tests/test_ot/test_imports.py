import ast
import sys
from pathlib import Path

import pytest

import mmdet_uot.ot

FILES = sorted(Path(mmdet_uot.ot.__file__).parent.glob('**/*.py'))
ALLOWED = sys.stdlib_module_names | {'torch', 'scipy'}


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)
def test_imports_only_torch_and_scipy(file):
    imported = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, 'reaches out of mmdet_uot.ot'
            if node.level == 0:
                imported.add(node.module)
    assert {name.split('.')[0] for name in imported} <= ALLOWED


def test_public_names_are_there():
    for name in mmdet_uot.ot.__all__:
        assert getattr(mmdet_uot.ot, name).__doc__
