"""Detectors of a config, with the weights of a checkpoint."""

from __future__ import annotations

import re

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from .._torch_versions import allow_in_checkpoints, allowed_in_checkpoints

__all__ = ['build_detector', 'load_weights']


def build_detector(cfg: Config) -> nn.Module:
    """Builds the detector of a config for one CPU.

    Args:
        cfg (Config): With ``model``.

    Returns:
        nn.Module: With random weights.

    Raises:
        ValueError: If the config has no model.
    """
    if 'model' not in cfg:
        raise ValueError(f'the config has no model: {cfg.filename}')
    scope = cfg.get('default_scope', 'mmdet')
    with DefaultScope.overwrite_default_scope(scope):
        return revert_sync_batchnorm(MODELS.build(cfg.model))


def load_weights(model: nn.Module, checkpoint: str) -> None:
    """Loads a checkpoint that must hold all parameters of a model.

    MMEngine's own loader goes on where another model's checkpoint leaves
    parameters random.

    Args:
        model (nn.Module): Any model.
        checkpoint (str): A file or URL.

    Raises:
        ValueError: If a parameter is missing, or of another shape.
    """
    allowed = allowed_in_checkpoints()
    loaded = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    # The loader of MMEngine's fork takes away what others have allowed.
    allow_in_checkpoints(allowed)
    weights = {
        re.sub(r'^module\.', '', name): value
        for name, value in loaded.get('state_dict', loaded).items()
    }
    parameters = dict(model.named_parameters())
    missing = [
        name
        for name, value in parameters.items()
        if getattr(weights.get(name), 'shape', None) != value.shape
    ]
    if missing:
        raise ValueError(
            f'checkpoint {checkpoint!r} is of another model: it lacks '
            f'{len(missing)} of {len(parameters)} parameters, or has them in '
            f'another shape, {missing[0]} for one'
        )
    load_state_dict(model, weights)
