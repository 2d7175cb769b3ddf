"""Misspelt options are errors that name near ones."""

import pytest
from mmdet.registry import DATASETS, HOOKS

from mmdet_uot._options import named_options


@named_options
class Base:
    def __init__(self, *, first, second=2):
        self.options = first, second


class Middle(Base):
    def __init__(self, third=3, **kwargs):
        super().__init__(**kwargs)


@named_options
class Last(Middle):
    pass


class Any:
    def __init__(self, **kwargs):
        self.options = kwargs


def test_known_options_reach_the_class():
    assert Base(first=1).options == (1, 2)
    assert Last(third=0, first=1, second=0).options == (1, 0)
    assert named_options(Any)(whatever=1).options == dict(whatever=1)


@pytest.mark.parametrize('cls', [Base, Middle, Last])
def test_near_options_are_named(cls):
    message = f'{cls.__name__} has no option .secnd.; did you mean second?'
    with pytest.raises(TypeError, match=message):
        cls(first=1, secnd=2)
    with pytest.raises(TypeError, match='there are first, second'):
        cls(first=1, xyz=2)


@pytest.mark.parametrize(
    ('registry', 'cfg', 'near'),
    [
        (HOOKS, dict(type='MatchingScheduleHook', epsilon_0=1), 'epsilon0'),
        (HOOKS, dict(type='MatchingDiagnosticsHook', pictures=1), 'picture'),
        (DATASETS, dict(type='ColorBoxesDataset', nr_images=1), 'num_images'),
        (DATASETS, dict(type='ColorBoxesDataset', pipline=[]), 'pipeline'),
    ],
)
def test_our_classes_do(registry, cfg, near):
    with pytest.raises(TypeError, match=f'did you mean .*{near}'):
        registry.build(cfg)
