"""Settings of a config as `tools/train.py` takes them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from mmengine.config import DictAction

__all__ = ['parse_options', 'split_options']


def split_options(words: Sequence[str]) -> dict[str, str]:
    """Takes ``key=value`` apart.

    Raises:
        ValueError: If a word is none.
    """
    for word in words:
        if '=' not in word[1:]:
            raise ValueError(f'--cfg-options takes KEY=VALUE, got {word!r}')
    return dict(word.split('=', 1) for word in words)


def parse_options(options: Mapping[str, str]) -> dict:
    """Options as `tools/train.py` understands them."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='*', action=DictAction, default={})
    words = [f'{key}={value}' for key, value in options.items()]
    return parser.parse_args(['--options', *words]).options
