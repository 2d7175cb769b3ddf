"""Checkpoints are loaded whole or not at all."""

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from torch import nn

from mmdet_uot._torch_versions import (
    allow_in_checkpoints,
    allowed_in_checkpoints,
)
from mmdet_uot.matched_images.detector import build_detector, load_weights


def model(width=3):
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))


@pytest.fixture
def save(tmp_path):
    def save(weights):
        path = str(tmp_path / 'epoch_1.pth')
        torch.save({'state_dict': weights}, path)
        return path

    return save


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_weights_are_those_of_the_checkpoint(prefix, save):
    source, target = model(), model()
    weights = {prefix + k: v for k, v in source.state_dict().items()}
    # Those of an optimiser's average, or of a head that is not built.
    load_weights(target, save({**weights, 'other': torch.zeros(1)}))
    torch.testing.assert_close(target.state_dict(), source.state_dict())


def test_a_checkpoint_of_another_model_changes_nothing(save):
    target = model()
    before = {name: x.clone() for name, x in target.state_dict().items()}
    for weights in (model(width=4).state_dict(), {}):
        with pytest.raises(ValueError, match='lacks 4 of 4 parameters'):
            load_weights(target, save(weights))
    torch.testing.assert_close(dict(target.state_dict()), before)


def test_what_may_be_loaded_stays_the_same(save):
    """MMEngine's fork forgets it, once it has loaded something."""
    allow_in_checkpoints([HistoryBuffer])
    allowed = {*allowed_in_checkpoints()}
    load_weights(model(), save(model().state_dict()))
    assert {*allowed_in_checkpoints()} == allowed


def test_a_config_without_a_model_is_an_error():
    with pytest.raises(ValueError, match='the config has no model'):
        build_detector(Config(dict(default_scope='mmdet')))
