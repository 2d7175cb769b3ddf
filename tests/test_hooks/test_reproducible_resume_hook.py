import random
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmdet_uot.hooks import ReproducibleResumeHook


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()


class Draws(Dataset):
    """Each item is its index, and a number of each generator."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return index, *draw()


@pytest.fixture(params=[0, 2], ids=['no workers', 'two workers'])
def train(request):
    """What each epoch draws: the process, then the items in their order."""

    def train(epochs, seed_before_resume=7):
        loader = Runner.build_dataloader(
            dict(
                dataset=Draws(),
                sampler=dict(type='DefaultSampler'),
                batch_size=2,
                num_workers=request.param,
                persistent_workers=request.param > 0,
                multiprocessing_context='fork' if request.param else None,
                collate_fn=dict(type=list),
            ),
            seed=seed_before_resume,
        )
        runner = SimpleNamespace(seed=7, epoch=0, train_dataloader=loader)
        hook = ReproducibleResumeHook()
        hook.before_train(runner)
        drawn = []
        for runner.epoch in epochs:
            hook.before_train_epoch(runner)
            loader.batch_sampler.sampler.set_epoch(runner.epoch)
            drawn.append([draw(), *chain.from_iterable(loader)])
        return drawn

    return train


def test_an_epoch_does_not_depend_on_its_past(train):
    torch.manual_seed(0)
    whole = train([0, 1, 2])
    torch.manual_seed(1)
    assert train([1, 2], seed_before_resume=8) == whole[1:]


def test_every_epoch_and_rank_draws_other_numbers(train, monkeypatch):
    epochs = train([0, 1])
    monkeypatch.setattr('mmengine.runner.utils.get_rank', lambda: 1)
    monkeypatch.setattr('mmengine.runner.runner.get_rank', lambda: 1)
    epochs += train([0, 1])
    own = [process for process, *_ in epochs]
    items = [item[1:] for _, *items in epochs for item in items]
    for numbers in chain(zip(*own, strict=True), zip(*items, strict=True)):
        assert len(set(numbers)) == len(numbers)
