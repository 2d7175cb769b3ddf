"""Makes `_base_ = 'mmdet_uot::ssd300_uot.py'` work.

It does in every config that is read after `import mmdet_uot`.

MMEngine resolves `package::config` for a closed list of packages, wants a
folder in the name, and gives what it read the package's own registry scope.
Our configs lie flat, and our classes live in mmdet's registries.
"""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

PREFIX = 'mmdet_uot::'


def config_folder() -> Path:
    """Finds the shipped configs, installed or in a source tree."""
    package = Path(__file__).resolve().parent
    installed = package / '.mim' / 'configs'
    return installed if installed.is_dir() else package.parent / 'configs'


def register_config_scope() -> None:
    """Teaches MMEngine's `Config` the prefix `mmdet_uot::`."""
    stock = Config._get_cfg_path

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if not cfg_path.startswith(PREFIX):
            return stock(cfg_path, filename)
        path = config_folder() / cfg_path[len(PREFIX) :]
        if not path.is_file():
            raise FileNotFoundError(
                f'{cfg_path!r} in {filename}: there is no file {path}'
            )
        return str(path), 'mmdet'

    Config._get_cfg_path = staticmethod(get_cfg_path)
