import random
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from mmdet_uot.hooks import ReproducibleResumeHook

pytestmark = pytest.mark.slow


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()


class Draws(Dataset):
    """Each item is its index, and a number of each generator."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return index, *draw()

    def get_data_info(self, index):
        return dict(width=index % 3, height=1)


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
        runner = SimpleNamespace(
            seed=7, epoch=0, train_dataloader=loader, train_loop=None
        )
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
    for numbers in chain(zip(*own), zip(*items)):
        assert len(set(numbers)) == len(numbers)


class Loop(IterBasedTrainLoop):
    """MMEngine's, which notes what each iteration has drawn."""

    def __init__(self, runner, loader, max_iters):
        super().__init__(runner, loader, max_iters)
        self.drawn = {}

    def run_iter(self, batch):
        self.drawn[self.iter] = draw(), batch
        self._iter += 1


class StubRunner:
    """What the loop and the hook ask of a runner."""

    seed, val_loop, model = 7, None, nn.Identity()

    def __init__(self, loader, start, stop):
        self.train_dataloader = loader
        self.train_loop = Loop(self, loader, stop)
        self.train_loop._iter = start
        self.hook = ReproducibleResumeHook()

    @property
    def iter(self):
        return self.train_loop.iter

    def call_hook(self, name):
        getattr(self.hook, name)(self)


def iterate(start, stop, seed_of_process=7, **options):
    """What the iterations of a training draw that begins at one of them."""
    torch.manual_seed(start)
    loader = dict(
        dataset=Draws(),
        batch_size=3,
        collate_fn=dict(type=list),
        **options,
    )
    loader = Runner.build_dataloader(loader, seed=seed_of_process)
    loop = StubRunner(loader, start, stop).train_loop
    loop.run()
    return loop.drawn


INFINITE = dict(sampler=dict(type='InfiniteSampler'))
FINITE = dict(sampler=dict(type='DefaultSampler'))
WORKERS = dict(
    num_workers=2, persistent_workers=True, multiprocessing_context='fork'
)
BY_SHAPE = dict(batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'))


@pytest.mark.parametrize(
    ('options', 'resumed'),
    [
        (INFINITE, WORKERS),
        ({**INFINITE, **WORKERS}, {}),
        (FINITE, WORKERS),
        ({**INFINITE, **BY_SHAPE}, {}),
        ({**FINITE, **BY_SHAPE}, {}),
    ],
)
def test_an_iteration_does_not_depend_on_its_past(options, resumed):
    whole = iterate(0, 9, **options)
    again = iterate(5, 9, seed_of_process=8, **{**options, **resumed})
    assert again == {i: whole[i] for i in range(5, 9)}
    numbers = [
        number
        for own, batch in whole.values()
        for number in (own[0], *(item[1] for item in batch))
    ]
    assert len({*numbers}) == len(numbers)
    assert {item[0] for _, batch in whole.values() for item in batch} == {
        *range(len(Draws()))
    }


def test_an_order_that_cannot_be_repeated_is_an_error():
    loader = DataLoader(Draws(), sampler=RandomSampler(Draws()))
    with pytest.raises(ValueError, match='or DefaultSampler, got RandomSam'):
        StubRunner(loader, 0, 1).train_loop.run()
