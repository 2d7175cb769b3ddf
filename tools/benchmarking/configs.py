"""The configs that the benchmark is about."""

from __future__ import annotations

from mmengine.config import Config

from mmdet_uot._config_scope import config_folder

__all__ = ['load_config', 'load_stock_config']


def load_config(name: str) -> Config:
    """Reads a shipped config by its name."""
    return Config.fromfile(config_folder() / f'{name}.py')


def load_stock_config(name: str) -> Config:
    """Reads one of mmdet's configs by its path among them."""
    return Config.fromstring(f'_base_ = "mmdet::{name}.py"', '.py')
