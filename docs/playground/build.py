"""Builds the playground, one page that needs no other file."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
SOLVER = HERE.parents[1] / 'mmdet_uot/explain/page/solver.js'
SCRIPTS = ('state', 'scene', 'main')


def build() -> str:
    """The page, with style and scripts inside."""
    sources = [SOLVER, *(HERE / f'src/{name}.js' for name in SCRIPTS)]
    # One script: strict as a whole.
    script = '\n'.join(path.read_text() for path in sources)
    page = (HERE / 'src/page.html').read_text()
    style = (HERE / 'src/style.css').read_text()
    page = page.replace('/*{style}*/\n', style)
    return page.replace('/*{script}*/\n', script)


if __name__ == '__main__':
    (HERE / 'index.html').write_text(build())
