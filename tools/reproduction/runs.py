"""The trainings that the experiments are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    'ASSIGNER',
    'DETR_EVALUATIONS',
    'SCALES',
    'SSD_EVALUATIONS',
    'Run',
    'detr',
    'ssd_uot',
]

SCALES = ('cpu', 'paper')
# What follows the name of a config.
SUFFIXES = dict(cpu='_cpu.py', paper='.py')

# Options of the assigner begin with this.
ASSIGNER = 'model.train_cfg.assigner.'
# Evaluations of one checkpoint: name -> options.
WITH_NMS: Mapping[str, str] = {}
# mmcv then sorts by score, and as many are kept as with NMS.
WITHOUT_NMS = {'model.test_cfg.nms': 'None'}
SSD_EVALUATIONS = dict(nms=WITH_NMS, no_nms=WITHOUT_NMS)
DETR_EVALUATIONS = dict(plain=WITH_NMS)


@dataclass(frozen=True)
class Run:
    """A training, but for its seed and the length of its schedule.

    Attributes:
        name (str): Names its results and its work directory.
        config (str): Config without tier and suffix, as ``ssd300_uot``.
        options (Mapping[str, str]): What differs, as ``--cfg-options`` of
            `tools/train.py` has it. Defaults to nothing.
        evaluations (Mapping[str, Mapping[str, str]]): Name -> options with
            which the last checkpoint is evaluated. Defaults to SSD's: with
            and without NMS.
        scales (tuple[str, ...]): Those at which it is run. Defaults to all.
    """

    name: str
    config: str
    options: Mapping[str, str] = field(default_factory=dict)
    evaluations: Mapping[str, Mapping[str, str]] = field(
        default_factory=lambda: SSD_EVALUATIONS
    )
    scales: tuple[str, ...] = SCALES

    def config_file(self, scale: str) -> str:
        """The name of the config file at a scale."""
        return self.config + SUFFIXES[scale]


def ssd_uot(**assigner: float) -> Run:
    """SSD300 with options of its assigner, which are in its name.

    Args:
        **assigner (float): As ``tau2=0.01``.

    Returns:
        Run: Named ``ssd300_uot_tau2_0.01``.
    """
    return Run(_name('ssd300_uot', assigner), 'ssd300_uot', _options(assigner))


def detr(
    config: str, *, scales: tuple[str, ...] = SCALES, **assigner: float
) -> Run:
    """DETR or Deformable DETR, which need no NMS.

    Args:
        config (str): As ``detr_ot``.
        scales (tuple[str, ...]): Those at which it is run. Defaults to all.
        **assigner (float): Options of its assigner.

    Returns:
        Run: With one evaluation.
    """
    return Run(
        _name(config, assigner),
        config,
        _options(assigner),
        DETR_EVALUATIONS,
        scales,
    )


def _name(config: str, assigner: Mapping[str, float]) -> str:
    options = (f'{key}_{value:g}' for key, value in assigner.items())
    return '_'.join([config, *options])


def _options(assigner: Mapping[str, float]) -> dict[str, str]:
    return {ASSIGNER + key: repr(value) for key, value in assigner.items()}
