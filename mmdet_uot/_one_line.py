"""How the tools end where their input is at fault."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

# Of the input, mostly.
_FAULTS = (
    AssertionError,
    ImportError,
    KeyError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


@contextmanager
def errors_in_one_line(show_traceback: bool = False) -> Iterator[None]:
    """Ends a tool with one line.

    What happens in the midst of a training step keeps its traceback.

    Args:
        show_traceback (bool): Whether all errors do. Defaults to False.

    Raises:
        SystemExit: With the message of the error.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit('interrupted') from None
    except _FAULTS as error:
        frames = traceback.extract_tb(error.__traceback__)
        if show_traceback or any(frame.name == 'run_iter' for frame in frames):
            raise
        raise SystemExit(f'error: {_message(error)}') from error


def _message(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Of a data worker the message is a traceback, whose end counts.
    if 'Original Traceback (most recent call last):' in lines:
        return lines[-1]
    says_enough = isinstance(error, (OSError, ValueError)) and lines
    return ' '.join([*([] if says_enough else [type(error).__name__]), *lines])
