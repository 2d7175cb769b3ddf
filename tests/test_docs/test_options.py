"""docs/options.md names every option once, with its default."""

import re
from inspect import signature
from pathlib import Path

from mmdet_uot.assigners import PRESETS, UOTAssigner

TEXT = (Path(__file__).parents[2] / 'docs/options.md').read_text()


def test_every_option_of_the_assigner_is_there_with_its_default():
    rows = re.findall(r'^\| `(\w+)` \| `(.*?)` \|', TEXT, re.M)
    options = signature(UOTAssigner).parameters
    assert sorted(name for name, _ in rows) == sorted(options)
    for name, default in rows:
        assert eval(default) == options[name].default, name


def test_every_preset_is_there():
    described = re.findall(r"^\| `'(\w+)'` \|", TEXT, re.M)
    assert sorted(described) == sorted(PRESETS)
