"""A run with a seed, a schedule, and a place for what it gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from mmengine.config import Config

from mmdet_uot._config_scope import config_folder
from mmdet_uot._tools import is_whole

from .options import parse_options
from .runs import Run
from .shorter_schedule import rescale_schedule

__all__ = ['Job', 'load_config', 'make_job']

# A resumed training is then the one that was not interrupted.
RESUMABLE = {
    'default_hooks.reproducible_resume.type': 'ReproducibleResumeHook',
    'default_hooks.checkpoint.save_best': 'None',
}
METRICS = {'test_evaluator.metric_items': '[mAP,mAP_50,AR@100,AR@300,AR@1000]'}


@dataclass(frozen=True)
class Job:
    """What there is to be done for one result.

    Attributes:
        run (Run): What is trained.
        scale (str): 'cpu' or 'paper'.
        seed (int): Of the training.
        options (Mapping[str, str]): All that differs from the config.
        epochs (int): Of the schedule.
        full_epochs (int): Of the config's own.
        num_images (tuple[int, int]): In an epoch, and in an evaluation.
        batch_size (int): Images of an iteration.
        results (Path): Folder of the results.
        work_dirs (Path): Folder of the work directories.
        device (str): 'cpu', or 'cuda' where it may be trained on a GPU.
    """

    run: Run
    scale: str
    seed: int
    options: Mapping[str, str]
    epochs: int
    full_epochs: int
    num_images: tuple[int, int]
    batch_size: int
    results: Path
    work_dirs: Path
    device: str

    @property
    def name(self) -> str:
        """Names its result and its work directory."""
        return f'{self.run.name}-{self.epochs}e-seed{self.seed}'

    @property
    def config(self) -> Path:
        """The config file."""
        return config_folder() / self.run.config_file(self.scale)

    @property
    def work_dir(self) -> Path:
        """Where it is trained."""
        return self.work_dirs / self.scale / self.name

    @property
    def result_file(self) -> Path:
        """Where its result is kept."""
        return self.results / self.scale / f'{self.name}.json'

    @property
    def checkpoint(self) -> Path:
        """The last one of the training."""
        return self.work_dir / f'epoch_{self.epochs}.pth'

    @property
    def total_images(self) -> int:
        """Images that are passed through the model, a measure of work."""
        train, val = self.num_images
        return self.epochs * train + len(self.run.evaluations) * val

    @cached_property
    def identity(self) -> dict:
        """What a result must have been made of to be that of the job."""
        return dict(
            run=self.run.name,
            scale=self.scale,
            config=self.config.name,
            options=dict(self.options),
            seed=self.seed,
            epochs=self.epochs,
        )

    def evaluation_dir(self, evaluation: str) -> Path:
        """Where `tools/test.py` writes."""
        return self.work_dir / f'eval_{evaluation}'

    def is_trained(self) -> bool:
        """Whether there is the last checkpoint, whole."""
        return self.checkpoint.is_file() and is_whole(self.checkpoint)

    def read_result(self) -> dict | None:
        """Its result, or None where there is none yet.

        Raises:
            ValueError: If what is there was made with other options.
        """
        return self._read(self.result_file)

    def claim_work_dir(self) -> None:
        """Makes the work directory, and says there whose it is.

        Raises:
            ValueError: If it is of a training with other options.
        """
        file = self.work_dir / 'job.json'
        if self._read(file) is None:
            self.work_dir.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(self.identity, indent=2))

    def _read(self, file: Path) -> dict | None:
        if not file.is_file():
            return None
        found = json.loads(file.read_text())
        for key, wanted in self.identity.items():
            if found.get(key) != wanted:
                raise ValueError(
                    f'{file} was made with {key} = {found.get(key)}, now it '
                    f'is {wanted}; give another --out and --work-dirs, or '
                    'remove it'
                )
        return found


def make_job(
    run: Run,
    *,
    scale: str,
    seed: int,
    epochs: int | None = None,
    options: Mapping[str, str] | None = None,
    results: Path = Path('results'),
    work_dirs: Path = Path('work_dirs/reproduce'),
    device: str = 'cpu',
) -> Job:
    """Works out all options of a run.

    Args:
        run (Run): What is trained.
        scale (str): 'cpu' or 'paper'.
        seed (int): Of the training.
        epochs (int, optional): Length of the schedule. Defaults to that of
            the config.
        options (Mapping[str, str], optional): More ``--cfg-options``, which
            prevail over those of the run. Defaults to None.
        results (Path): Folder of the results. Defaults to ``results``.
        work_dirs (Path): Folder of the work directories. Defaults to
            ``work_dirs/reproduce``.
        device (str): 'cuda' lets it be trained on a GPU. Defaults to 'cpu'.

    Returns:
        Job: What there is to be done.
    """
    options = {**RESUMABLE, **run.options, **(options or {})}
    cfg = load_config(run, scale, options)
    full = cfg.train_cfg.max_epochs
    epochs = epochs or full
    return Job(
        run=run,
        scale=scale,
        seed=seed,
        options={
            **options,
            **rescale_schedule(cfg, epochs),
            'randomness.seed': str(seed),
        },
        epochs=epochs,
        full_epochs=full,
        num_images=(
            num_images(cfg.train_dataloader),
            num_images(cfg.test_dataloader),
        ),
        batch_size=cfg.train_dataloader.batch_size,
        results=results,
        work_dirs=work_dirs,
        device=device,
    )


def load_config(run: Run, scale: str, options: Mapping[str, str]) -> Config:
    """The config of a run with options."""
    cfg = deepcopy(_read(config_folder() / run.config_file(scale)))
    cfg.merge_from_dict(parse_options(options))
    return cfg


@lru_cache(maxsize=None)
def _read(path: Path) -> Config:
    """Many jobs share a config, which takes a while to read."""
    return Config.fromfile(path)


# Of the datasets whose config does not say so: Color Boxes, and COCO 2017.
SIZES = {
    'ColorBoxesDataset': dict(train=4_800, val=960),
    'CocoDataset': dict(train=118_287, val=5_000),
}


def num_images(loader: dict) -> int:
    """Images of a dataloader's dataset, which is not built for that."""
    dataset, times = loader['dataset'], 1
    while 'dataset' in dataset:
        times *= dataset.get('times', 1)
        dataset = dataset['dataset']
    size = dataset.get('indices') or dataset.get('num_images')
    return times * (size or _size(dataset))


def _size(dataset: dict) -> int:
    """Of its annotation file, where that is there."""
    file = Path(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    if file.is_file():
        return len(json.loads(file.read_text())['images'])
    split = 'val' if dataset.get('test_mode') else 'train'
    return SIZES[dataset['type']][split]
