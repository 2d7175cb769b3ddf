"""Random numbers that depend on the place in a training, not on its past."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from mmdet.registry import HOOKS
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner, set_random_seed

from .numbered_batches import NumberedBatches

__all__ = ['ReproducibleResumeHook']


@HOOKS.register_module()
class ReproducibleResumeHook(Hook):
    """Makes a resumed training the one that was interrupted.

    MMEngine's checkpoints hold the seed of a training, but not the state of
    its random number generators: after a resume, dropout and augmentation
    repeat the numbers of the first epoch, and where the config gives no seed
    the images come in another order. This hook seeds the generators of each
    process and of its data workers at the start of each epoch, from the seed
    of the training, the epoch and the rank. Without an interruption, too,
    workers then draw other numbers in each epoch.

    With ``IterBasedTrainLoop`` it seeds them for each iteration and image,
    and the data goes on where it was, whatever the loop's
    ``fast_forward_on_resume``; the sampler must be ``InfiniteSampler`` or
    ``DefaultSampler``.

    Data workers are restarted with each epoch, also where the data loader has
    ``persistent_workers=True``. A ``worker_init_fn`` of the config must take
    ``seed``. Transforms that remember earlier images (``CachedMosaic``) do
    not remember those before a resume.

    Raises:
        ValueError: When training starts, if the order of the images without
            epochs cannot be repeated.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Gives the sampler the seed of the checkpoint.

        It was built before the checkpoint was read.
        """
        # Where ranks have seeds of their own, that of the first one counts:
        # all must shuffle alike.
        seed = torch.tensor(runner.seed)
        broadcast(seed)
        self.seed = seed.item()
        sampler = runner.train_dataloader.batch_sampler.sampler
        if hasattr(sampler, 'seed'):
            sampler.seed = self.seed
        self.batches = None
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            self.batches = NumberedBatches(runner, self.seed)

    def before_train_epoch(self, runner: Runner) -> None:
        """Seeds this process and the data workers that the epoch starts."""
        if self.batches is not None:
            runner.train_loop.dataloader_iterator = self.batches
            return
        sequence = np.random.SeedSequence((self.seed, runner.epoch))
        # NumPy takes seeds below 2**32, and ranks and workers are added.
        seed = int(sequence.generate_state(1)[0] // 2)
        set_random_seed(seed, diff_rank_seed=True)
        loader = runner.train_dataloader
        if loader.worker_init_fn is not None:
            loader.worker_init_fn = partial(loader.worker_init_fn, seed=seed)
        # The workers of the last epoch, if they persist.
        loader._iterator = None
