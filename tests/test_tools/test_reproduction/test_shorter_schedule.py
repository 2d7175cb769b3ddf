"""A schedule keeps its shape when it is made shorter or longer."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import PARAM_SCHEDULERS
from mmengine.config import Config
from reproduction.options import parse_options
from reproduction.shorter_schedule import rescale_schedule

CONFIGS = Path(__file__).parents[3] / 'configs'
EPOCH_LENGTH = 60


def learning_rates(cfg):
    """One per iteration."""
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    schedulers = [
        PARAM_SCHEDULERS.build(
            scheduler,
            default_args=dict(optimizer=optimizer, epoch_length=EPOCH_LENGTH),
        )
        for scheduler in cfg.param_scheduler
    ]
    rates = []
    for iteration in range(cfg.train_cfg.max_epochs * EPOCH_LENGTH):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            if not scheduler.by_epoch or (iteration + 1) % EPOCH_LENGTH == 0:
                scheduler.step()
    return torch.tensor(rates)


def rescaled(name, epochs):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    whole = cfg.copy()
    cfg.merge_from_dict(parse_options(rescale_schedule(cfg, epochs)))
    return whole, cfg


@pytest.mark.parametrize(
    'name, epochs, factor',
    [
        ('retinanet_cpu', 5, 2),
        ('detr_ot_cpu', 10, 5),
        ('ssd300_uot', 12, 10),
    ],
)
def test_the_rate_depends_on_the_share_that_is_done(name, epochs, factor):
    whole, short = rescaled(name, epochs)
    before = learning_rates(whole)[::factor]
    after = learning_rates(short)
    assert len(after) == epochs * EPOCH_LENGTH
    assert before.max() > 10 * before.min()
    torch.testing.assert_close(after, before, atol=0.02, rtol=0)


def test_it_is_evaluated_as_often():
    whole, short = rescaled('ssd300_uot_cpu', 5)
    assert whole.train_cfg.max_epochs // whole.train_cfg.val_interval == 5
    assert short.train_cfg.max_epochs // short.train_cfg.val_interval == 5


def test_milestones_move_along():
    _, short = rescaled('ssd300_uot', 12)
    assert short.param_scheduler[1].milestones == [8, 11]
    assert short.param_scheduler[1].end == 12


def test_the_own_length_changes_nothing():
    cfg = Config.fromfile(CONFIGS / 'ssd300_uot_cpu.py')
    assert rescale_schedule(cfg, 10) == {}


def test_one_epoch_leaves_no_empty_phase():
    _, short = rescaled('ssd300_uot_cpu', 1)
    assert learning_rates(short).isfinite().all()
    assert short.train_cfg.val_interval == 1
