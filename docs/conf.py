"""The documents as a site; `make docs` builds it with Sphinx.

The source folder is the root of the repository, so that the README, docs/ and
results/ keep their places and links are the same here and in the repository.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'docs')]

import gallery_setup  # noqa: E402

from mmdet_uot.version import __version__  # noqa: E402

gallery_setup.declare_operators()

project = 'mmdet_uot'
author = 'the authors of mmdet_uot'
version = release = __version__
root_doc = 'docs/index'
extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.mathjax',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
    'sphinx_gallery.gen_gallery',
]
include_patterns = ['*.md', 'docs/**', 'results/**.md']
exclude_patterns = [
    '.*',
    'build',
    'docs/gallery/**.ipynb',
    'docs/playground',
    'docs/**/sg_execution_times.rst',
]

html_theme = 'furo'
html_title = f'mmdet_uot {version}'
html_show_copyright = False
html_show_sphinx = False
templates_path = ['templates']
# Browsers ask for index.html; the first page is docs/index.html.
html_additional_pages = {'index': 'index.html'}

myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'
napoleon_numpy_docstring = False
napoleon_use_ivar = True

sphinx_gallery_conf = dict(
    examples_dirs='examples',
    gallery_dirs='docs/gallery',
    image_scrapers=('gallery_setup.scrape',),
    download_all_examples=False,
    show_signature=False,
    capture_repr=(),
    remove_config_comments=True,
    reset_modules=(),
)


def skip_member(app, what, name, member, skip, options):
    """Leaves out what a package passes on, and fields of a named tuple."""
    if type(member).__name__ == '_tuplegetter':
        return True
    page = app.env.docname.rsplit('/', 1)[-1]
    home = getattr(member, '__module__', None) or ''
    if what == 'module' and home.startswith('mmdet_uot.'):
        return skip or home.split('.')[1] != page
    return skip


def setup(app) -> None:
    """Connects what this file defines."""
    app.connect('autodoc-skip-member', skip_member)
