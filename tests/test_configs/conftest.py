from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture(autouse=True)
def scope():
    """What the runner does with the default_scope of a config."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope='session')
def load(tmp_path_factory):
    """Reads one of our configs, or one of mmdet's as ``mmdet::...``."""

    def load(name):
        path = CONFIGS / f'{name}.py'
        if '::' in name:
            path = tmp_path_factory.mktemp('stock') / 'config.py'
            path.write_text(f'_base_ = {name!r}')
        return Config.fromfile(path)

    return load


@pytest.fixture(scope='session')
def assert_trains():
    """Checks one step: losses of these names, a gradient everywhere."""

    def assert_trains(model, losses, names):
        assert {*losses} == {*names}
        total = sum(
            value.sum()
            for loss in losses.values()
            for value in ([loss] if isinstance(loss, torch.Tensor) else loss)
        )
        assert total.isfinite()
        assert total > 0
        total.backward()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, name
                assert parameter.grad.isfinite().all(), name

    return assert_trains
