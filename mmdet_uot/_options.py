"""Checks of options that several classes take."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ['check_choice']


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises ValueError if an option is none of the known ones."""
    if value not in choices:
        raise ValueError(f'{name} must be one of {choices}, got {value!r}')
