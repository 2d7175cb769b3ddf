"""The stacks of packages that an environment can hold."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / 'requirements'


@dataclass(frozen=True)
class Stack:
    """What one environment holds; the names are files of requirements/.

    Attributes:
        venv: Folder of the environment.
        libraries: What pip installs with all that it depends on.
        host: MMDetection, installed without its dependencies; None: the
            solver is to run without.
        constraints: Its pins.
        pythons: Versions that have all of them, the best first.
    """

    venv: str
    libraries: tuple[str, ...]
    host: str | None = None
    constraints: str = 'constraints'
    pythons: tuple[str, ...] = ('3.11', '3.10', '3.12')

    @property
    def pins(self) -> Path:
        return requirements_file(self.constraints)


STACKS = {
    'onedl': Stack('.venv', ('build', 'runtime', 'tests', 'lint'), 'onedl'),
    'openmmlab': Stack(
        '.venv-openmmlab',
        ('build', 'runtime', 'tests'),
        'openmmlab',
        constraints='constraints-openmmlab',
        pythons=('3.8', '3.10', '3.9'),
    ),
    'docs': Stack('.venv-docs', ('build', 'runtime', 'docs'), 'onedl'),
    'wheels': Stack('.venv-wheels', ('build', 'wheels')),
    'core': Stack('.venv-core', ('build', 'core', 'tests')),
}


def requirements_file(name: str) -> Path:
    return REQUIREMENTS / f'{name}.txt'


def host_packages(stack: Stack) -> list[str]:
    """The packages of MMDetection with their pins, as `name==version`."""
    pins = stack.pins.read_text()
    lines = requirements_file(stack.host).read_text().splitlines()
    names = [line for line in lines if re.match(r'\w', line)]
    found = [re.search(rf'^{name}==\S+', pins, re.M) for name in names]
    return [pin.group() for pin in found if pin]


def is_ready(stamp: Path) -> bool:
    """Tells whether a finished set-up matches what is asked for now."""
    venv = stamp.parent
    return (
        stamp.is_file()
        and (venv / 'bin' / 'python').exists()
        and stamp.read_text() == fingerprint(venv)
    )


def fingerprint(venv: Path) -> str:
    """A hash of what a set-up depends on, its place and its device."""
    files = sorted(REQUIREMENTS.glob('*.txt'))
    files += [ROOT / 'setup.py', ROOT / 'mmdet_uot' / 'version.py']
    files += sorted((ROOT / 'mmdet_uot' / 'native').glob('*.[ch]'))
    device = os.environ.get('FORCE_CUDA', '0')
    digest = hashlib.sha256(f'{venv} FORCE_CUDA={device}'.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
