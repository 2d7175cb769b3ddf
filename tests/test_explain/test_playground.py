"""The page in the documents is the one that its sources give."""

import re
import runpy

from helpers.tools import ROOT

FOLDER = ROOT / 'docs/playground'


def test_the_page_is_built_from_its_sources():
    build = runpy.run_path(str(FOLDER / 'build.py'))['build']
    assert (FOLDER / 'index.html').read_text() == build(), (
        'run docs/playground/build.py'
    )


def test_the_page_needs_no_other_file():
    page = (FOLDER / 'index.html').read_text()
    links = re.findall(r'(?:src|href)\s*=|url\(|@import|fetch\(', page)
    assert not links
    assert "default-src 'none'" in page
