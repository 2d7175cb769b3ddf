"""What `tools/train.py` and `tools/test.py` share."""

from __future__ import annotations

import argparse
import difflib
import os
import zipfile
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
from mmdet.registry import RUNNERS
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

from ._config_scope import config_folder
from ._cpu_processes import distribute_on_cpu
from ._torch_versions import allow_in_checkpoints, load_without_code

# What MMEngine's checkpoints hold beside tensors and plain values: the history
# of the logs, in arrays and scalars of NumPy.
_SAFE = [
    HistoryBuffer,
    getattr,  # how its methods are stored
    np.ndarray,
    np.dtype,
    *(type(np.dtype(name)) for name in ('float32', 'float64', 'int64')),
    *(value.__reduce__()[0] for value in (np.zeros(0), np.float64())),
]
# For OpenMMLab's MMEngine, which loads no other way.
allow_in_checkpoints(_SAFE)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that training and testing have in common."""
    parser.add_argument('config', help='path of the config file')
    parser.add_argument(
        '--work-dir',
        help='folder for logs, checkpoints and results; default: the '
        "config's work_dir, else work_dirs/<config name>",
    )
    add_config_options(parser)
    parser.add_argument(
        '--traceback',
        action='store_true',
        help='show where in the code an error happened',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes were started (default: %(default)s, one '
        'process)',
    )
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help='set by the launcher',
    )


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--cfg-options`, a dict."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='change settings of the config, for example '
        'train_cfg.max_epochs=2 model.bbox_head.num_classes=80; lists as '
        'key="[a,b]" or key=a,b, without blanks',
    )


def load_config(args: argparse.Namespace) -> Config:
    """Reads the config and applies the common options to it."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(find_config(args.config))
    cfg.launcher = args.launcher
    cfg.merge_from_dict(args.cfg_options)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(args.config).stem)
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Builds the runner that the config asks for."""
    setup_cache_size_limit_of_dynamo()
    if cfg.launcher != 'none' and get_device() == 'cpu':
        distribute_on_cpu(cfg)
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)


def find_config(path: str) -> str:
    """Returns the path of a config that exists.

    Raises:
        SystemExit: There is none; the message suggests near names.
    """
    if os.path.isfile(path):
        return path
    shipped = config_folder().resolve()
    known = {
        found.stem: short_path(found)
        for folder in (Path(path).parent, shipped)
        for found in folder.glob('*.py')
    }
    near = difflib.get_close_matches(Path(path).stem, known, cutoff=0.6)
    names = ', '.join(known[name] for name in near)
    hint = f'did you mean: {names}' if near else f'those shipped: {shipped}'
    raise SystemExit(f'error: no config {path!r}; {hint}')


def short_path(path: Path) -> str:
    """From the current folder, where it is below that."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith(os.pardir) else relative


def find_checkpoint(path: str) -> str:
    """Returns a checkpoint that can be loaded.

    Args:
        path (str): A file, a URL (`https://`, `open-mmlab://`, ...), or a work
            directory, of which the latest whole checkpoint is taken.

    Raises:
        SystemExit: There is none, the file is cut short, or loading it can
            run code.
    """
    if '://' in path:
        return path
    if os.path.isdir(path):
        latest = latest_checkpoint(path)
        if latest is None:
            raise SystemExit(f'error: no checkpoint in the folder {path!r}')
        path = latest
    if not os.path.isfile(path):
        beside = sorted(map(str, Path(path).parent.glob('*.pth')))
        raise SystemExit(
            f'error: no checkpoint {path!r}; its folder has '
            + (', '.join(beside) or 'no .pth file')
        )
    if not is_whole(path):
        raise SystemExit(
            f'error: checkpoint {path!r} is cut short '
            f'({os.path.getsize(path)} bytes); take an earlier one, or train '
            'on from it with `tools/train.py --resume`'
        )
    _refuse_code(path)
    return path


def _refuse_code(path: str) -> None:
    """Raises SystemExit unless a checkpoint holds tensors and plain values.

    Where PyTorch refuses to load more than those, MMEngine's maintained fork
    asks again for everything, which runs what the author of the file put in.
    """
    try:
        load_without_code(path, _SAFE)
    except UnpicklingError as error:
        raise SystemExit(
            f'error: checkpoint {path!r} holds more than tensors and plain '
            'values, so that loading it can run code; if you trust its '
            'author, set TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1'
        ) from error


def latest_checkpoint(work_dir: str) -> str | None:
    """Finds the newest whole checkpoint of a work directory.

    The file `last_checkpoint` is not relied on: after a training that was
    killed while it saved, it can name a file that is gone.
    """
    files = sorted(
        Path(work_dir).glob('*.pth'),
        key=lambda file: file.stat().st_mtime,
        reverse=True,
    )
    return next((str(file) for file in files if is_whole(file)), None)


def is_whole(checkpoint: str | Path) -> bool:
    """Tells whether a checkpoint file was written to its end.

    PyTorch's files are zip archives, whose directory comes last. The older
    pickle form (some published weights) cannot be checked without loading.
    """
    with open(checkpoint, 'rb') as file:
        start = file.read(2)
    if start == b'PK':
        return zipfile.is_zipfile(checkpoint)
    return start != b''
