"""The configs that the benchmark is about."""

from __future__ import annotations

from mmengine.config import Config

from mmdet_uot._config_scope import config_folder

__all__ = ['load_config']


def load_config(name: str) -> Config:
    """Reads a shipped config by its name."""
    return Config.fromfile(config_folder() / f'{name}.py')
