"""The command lines of a job."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence

from mmdet_uot._config_scope import config_folder
from mmdet_uot._tools import short_path

from .job import METRICS, Job

__all__ = ['environment', 'show_command', 'test_command', 'train_command']

# Options that an evaluation does not need.
TRAINING = (
    'default_hooks.',
    'model.train_cfg.',
    'optim_wrapper.',
    'param_scheduler.',
    'randomness.',
    'train_',
)


def train_command(job: Job) -> list[str]:
    """Trains, or goes on where it broke off."""
    return [
        *_tool('train', job),
        *('--work-dir', str(job.work_dir), '--resume'),
        *_options(job.options),
    ]


def test_command(job: Job, evaluation: str) -> list[str]:
    """Evaluates the last checkpoint."""
    return [
        *_tool('test', job),
        str(job.checkpoint),
        *('--work-dir', str(job.evaluation_dir(evaluation))),
        *_options(
            {
                **_without_training(job.options),
                **METRICS,
                **job.run.evaluations[evaluation],
            }
        ),
    ]


def environment(job: Job, threads: int) -> dict[str, str]:
    """What a job is given beside the environment of this process."""
    # Where there is a GPU, MMCV may still be built for the CPU.
    hidden = dict(CUDA_VISIBLE_DEVICES='') if job.device == 'cpu' else {}
    return dict(hidden, OMP_NUM_THREADS=str(threads))


def show_command(
    command: Sequence[str], variables: Mapping[str, str] | None = None
) -> str:
    """A command line to copy."""
    _, *arguments = command
    words = [f'{key}={value}' for key, value in (variables or {}).items()]
    return ' '.join([*words, shlex.join(['python', *arguments])])


def _tool(name: str, job: Job) -> list[str]:
    # Beside the configs; an editable install has links to both.
    tool = config_folder().resolve().parent / 'tools' / f'{name}.py'
    return [sys.executable, short_path(tool), short_path(job.config.resolve())]


def _without_training(options: Mapping[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in options.items()
        if not key.startswith(TRAINING)
    }


def _options(options: Mapping[str, str]) -> list[str]:
    words = [f'{key}={value}' for key, value in options.items()]
    return ['--cfg-options', *words]
