"""Checks of options that several classes take."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, signature
from typing import TypeVar

__all__ = ['check_choice', 'named_options']

T = TypeVar('T', bound=type)
NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises ValueError if an option is none of the known ones."""
    if value not in choices:
        raise ValueError(f'{name} must be one of {choices}, got {value!r}')


def named_options(cls: T) -> T:
    """Lets a class name near options where one is misspelt.

    A class decorator, below that which registers the class. Known are the
    arguments of ``__init__`` and, where it passes on others, of those above.

    Args:
        cls (type): Any class.

    Returns:
        type: The same, whose ``__init__`` raises TypeError for an option that
        there is not.
    """
    init: Callable = cls.__init__

    @wraps(init)
    def checked(self: object, *args: object, **kwargs: object) -> None:
        order = type(self).__mro__
        known = _options_of(order[order.index(cls) :])
        for name in kwargs:
            if known is not None and name not in known:
                near = difflib.get_close_matches(name, known, 3, 0.5)
                hint = (
                    f'did you mean {" or ".join(near)}?'
                    if near
                    else f'there are {", ".join(sorted(known))}'
                )
                raise TypeError(
                    f'{type(self).__name__} has no option {name!r}; {hint}'
                )
        init(self, *args, **kwargs)

    cls.__init__ = checked
    return cls


def _options_of(classes: Sequence[type]) -> set[str] | None:
    """Names that may be given to the first; None if any may."""
    names: set[str] = set()
    last: type | None = None
    for base in classes:
        if '__init__' not in vars(base) or base is object:
            continue
        # Beside the last of its bases a class may call another one's.
        if last is not None and issubclass(last, base):
            continue
        parameters = [*signature(base.__init__).parameters.values()][1:]
        names.update(x.name for x in parameters if x.kind in NAMED)
        if all(x.kind is not Parameter.VAR_KEYWORD for x in parameters):
            last = last or base
    return names if last else None
