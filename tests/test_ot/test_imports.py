import ast
import sys
from pathlib import Path

import pytest

import mmdet_uot.native
import mmdet_uot.ot

FILES = [
    file
    for package in (mmdet_uot.ot, mmdet_uot.native)
    for file in sorted(Path(package.__file__).parent.glob('**/*.py'))
]
PACKAGE = Path(mmdet_uot.ot.__file__).parents[1]
ALLOWED = sys.stdlib_module_names | {'torch', 'scipy'}
KERNEL = '_triton_kernel'


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)
def test_imports_only_torch_and_scipy(file):
    """Triton only where the fused kernel is written."""
    imported = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            depth = len(file.relative_to(PACKAGE).parts) - 1
            outside = node.level > depth and node.module != 'native'
            assert not outside, 'reaches out of mmdet_uot.ot'
            if node.level == 0:
                imported.add(node.module)
    allowed = ALLOWED | ({'triton'} if file.stem == KERNEL else set())
    assert {name.split('.')[0] for name in imported} <= allowed


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)
def test_triton_is_not_imported_with_the_solver(file):
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            assert node.module != KERNEL


def test_public_names_are_there():
    for name in mmdet_uot.ot.__all__:
        assert getattr(mmdet_uot.ot, name).__doc__
