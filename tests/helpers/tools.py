from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).parents[2]


def load_tool(name):
    """A script of ``tools/`` as a module."""
    spec = spec_from_file_location(f'tool_{name}', ROOT / f'tools/{name}.py')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
