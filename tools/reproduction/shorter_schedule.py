"""A schedule of the same shape in other many epochs."""

from __future__ import annotations

import math

from mmengine.config import Config

__all__ = ['rescale_schedule']

# Where a parameter scheduler turns, in epochs or iterations.
TURNS = ('begin', 'end', 'T_max')


def rescale_schedule(cfg: Config, epochs: int) -> dict[str, str]:
    """Options that make a training shorter or longer.

    Warm-up, decay and the intervals of evaluation keep their share of it.

    Args:
        cfg (Config): Of an epoch-based training.
        epochs (int): How many there are to be.

    Returns:
        dict[str, str]: For ``--cfg-options``; none if nothing changes.
    """
    loop = cfg.train_cfg
    if epochs == loop.max_epochs:
        return {}
    factor = epochs / loop.max_epochs

    def scaled(turn: float) -> int:
        return max(1, round(turn * factor))

    options = {
        'train_cfg.max_epochs': str(epochs),
        'train_cfg.val_interval': str(scaled(loop.get('val_interval', 1))),
    }
    for index, scheduler in enumerate(cfg.param_scheduler):
        prefix = f'param_scheduler.{index}.'
        for key in TURNS:
            if 0 < scheduler.get(key, 0) < math.inf:
                options[prefix + key] = str(scaled(scheduler[key]))
        if 'milestones' in scheduler:
            turns = ','.join(str(scaled(x)) for x in scheduler.milestones)
            options[prefix + 'milestones'] = f'[{turns}]'
    return options
