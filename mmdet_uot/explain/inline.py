"""Pages in one file: sources put in the places that name them."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

__all__ = ['as_script', 'build_page']

_FOLDER = Path(__file__).with_name('page')


def build_page(title: str, data: Any) -> str:
    """The page of a report.

    Args:
        title (str): Any text.
        data (Any): What the page shows, as JSON.

    Returns:
        str: HTML that needs no other file.
    """
    parts = dict(
        title=html.escape(title),
        style=(_FOLDER / 'report.css').read_text(),
        data=as_script(data),
        script=''.join(
            (_FOLDER / f'{name}.js').read_text()
            for name in ('solver', 'report')
        ),
    )
    page = (_FOLDER / 'report.html').read_text()
    # In one pass: what is put in is not searched for places.
    return re.sub(r'/\*\{(\w+)\}\*/', lambda place: parts[place[1]], page)


def as_script(data: Any) -> str:
    """JSON that may stand in a script of a page, whatever it holds.

    Names come from files of others: one with ``</script>`` must not end the
    script.
    """
    text = json.dumps(data, separators=(',', ':'), allow_nan=False)
    for sign in '<>&\u2028\u2029':
        text = text.replace(sign, f'\\u{ord(sign):04x}')
    return text
