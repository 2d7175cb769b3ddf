"""Errors and warnings by kind."""

from __future__ import annotations

from collections import defaultdict

__all__ = ['Findings']

EXAMPLES = 3


class Findings:
    """What was found, a line for each kind with its first examples."""

    def __init__(self) -> None:
        self.examples: dict[tuple[str, str], list[str]] = defaultdict(list)

    def error(self, kind: str, example: str = '') -> None:
        """Notes what makes a training fail, or learn something else."""
        self.examples['error', kind].append(example)

    def warning(self, kind: str, example: str = '') -> None:
        """Notes what may be meant."""
        self.examples['warning', kind].append(example)

    @property
    def num_errors(self) -> int:
        """Kinds of errors."""
        return sum(level == 'error' for level, _ in self.examples)

    def lines(self) -> list[str]:
        """The errors, then the warnings."""
        lines = []
        for (level, kind), examples in sorted(self.examples.items()):
            named = [example for example in examples if example]
            first = ', '.join(named[:EXAMPLES])
            more = ', ...' * (len(named) > EXAMPLES)
            said = f' ({len(examples)}): {first}{more}' if named else ''
            lines.append(f'{level}: {kind}{said}')
        return lines
