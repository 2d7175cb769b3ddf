"""What an experiment would take with the full configs."""

from __future__ import annotations

from collections.abc import Sequence

from .commands import show_command, test_command, train_command
from .job import Job

__all__ = ['describe_needs']

NOTE = """\
Nothing was started; --run does, one after the other unless --jobs says \
otherwise.
- GPU memory and time: not known. Nothing of this size was run for this \
project.
- MMCV must be built for the GPU; the environment that `make` sets up is for \
the CPU.
- Color Boxes are made on first use (4,800 + 960 images). Configs that end in \
_coco need COCO 2017 in data/coco. Backbones of DETR configs and of \
COCO configs are downloaded on first use."""


def describe_needs(name: str, jobs: Sequence[Job]) -> str:
    """The commands, and how much there is to train.

    Args:
        name (str): Of the experiment.
        jobs (Sequence[Job]): All that it takes.

    Returns:
        str: For people to read.
    """
    lines = [f'{name} with the full configs: {len(jobs)} trainings']
    for job in jobs:
        train, val = job.num_images
        iterations = job.epochs * -(-train // job.batch_size)
        lines += [
            '',
            f'# {job.name}: {job.epochs} epochs of {train:,} images, '
            f'{iterations:,} iterations of {job.batch_size} with one process; '
            f'evaluated on {val:,} images, {len(job.run.evaluations)} x',
            show_command(train_command(job)),
            *(
                show_command(test_command(job, evaluation))
                for evaluation in job.run.evaluations
            ),
        ]
    images = sum(job.epochs * job.num_images[0] for job in jobs)
    return '\n'.join([*lines, '', f'{images:,} images in all.', NOTE])
