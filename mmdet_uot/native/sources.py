"""Tells whether the library is that of the C sources; needs Python alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ['FOLDER', 'LIBRARIES', 'source_hash']

FOLDER = Path(__file__).parent

# The most that a library uses of the processor -> its name. The last one is
# the default; the processor may have less.
LIBRARIES = {
    'baseline': '_loops_baseline',
    'avx2': '_loops_avx2',
    'avx512': '_loops',
}


def source_hash() -> str:
    """A hash of the C sources, which `setup.py` compiles in."""
    digest = hashlib.sha256()
    for file in sorted(FOLDER.glob('*.[ch]')):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
