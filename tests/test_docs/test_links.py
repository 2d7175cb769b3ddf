"""Links between the documents lead somewhere."""

import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *ROOT.glob('*.md'),
    *ROOT.glob('docs/**/*.md'),
    *ROOT.glob('.github/**/*.md'),
    *ROOT.glob('results/**/*.md'),
]


def prose(document):
    """The text without blocks of code."""
    return re.sub(r'^```.*?^```', '', document.read_text(), flags=re.S | re.M)


@lru_cache(maxsize=None)
def anchors(document):
    """Names that GitHub gives to the headings."""
    titles = re.findall(r'^#+ (.*)$', prose(document), re.M)
    return {
        re.sub(r'[^\w -]', '', title).lower().replace(' ', '-')
        for title in titles
    }


@pytest.mark.parametrize(
    'document', DOCUMENTS, ids=lambda x: str(x.relative_to(ROOT))
)
def test_relative_links_lead_to_a_file_and_a_heading(document):
    for link in re.findall(r'\]\(([^)\s]+)\)', prose(document)):
        if re.match(r'\w+:', link):
            continue
        path, _, anchor = link.partition('#')
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
