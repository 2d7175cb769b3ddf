"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ['format_numbers', 'table']

NOTHING = '–'


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a line of its own for each row."""
    return '\n'.join(
        f'| {" | ".join(cells)} |'
        for cells in (header, ['---'] * len(header), *rows)
    )


def format_numbers(numbers: Sequence[float]) -> str:
    """The mean, and from where to where they go if there are several."""
    if not numbers:
        return NOTHING
    mean = f'{sum(numbers) / len(numbers):.1f}'
    if len(numbers) == 1:
        return mean
    return f'{mean} ({min(numbers):.1f}–{max(numbers):.1f})'
