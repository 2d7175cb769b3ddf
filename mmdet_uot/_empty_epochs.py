"""A training without a single step is an error.

MMEngine goes through all epochs of it, saves checkpoints and evaluates them.
"""

from __future__ import annotations

from functools import wraps

from mmengine.dataset import DefaultSampler
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader, IterableDataset

NO_IMAGES = (
    'train_dataloader.dataset has no images, or none that it keeps; '
    'tools/check_data.py CONFIG looks at paths and class names'
)


def refuse_empty_epochs() -> None:
    """Teaches MMEngine's `Runner` to look at its training data.

    No hook is asked before the schedules are built, which take the number of
    steps.
    """
    stock = Runner.build_train_loop

    @wraps(stock)
    def build_train_loop(self, loop):
        try:
            built = stock(self, loop)
        except ValueError as error:
            # What MMEngine says of a data set without images.
            if 'need at least one array to concatenate' not in str(error):
                raise
            raise ValueError(NO_IMAGES) from error
        if isinstance(built, (EpochBasedTrainLoop, IterBasedTrainLoop)):
            _check(built.dataloader, isinstance(built, EpochBasedTrainLoop))
        return built

    Runner.build_train_loop = build_train_loop


def _check(loader: DataLoader, has_epochs: bool) -> None:
    # Some samplers for loops without epochs go round and round.
    sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
    goes_round = not has_epochs and not isinstance(sampler, DefaultSampler)
    if goes_round or isinstance(loader.dataset, IterableDataset):
        return
    images = len(loader.dataset)
    if images == 0:
        raise ValueError(NO_IMAGES)
    if len(loader) == 0:
        share = len(sampler)
        of_process = f' ({share} per process)' if share != images else ''
        size = loader.batch_sampler.batch_size
        raise ValueError(
            f'train_dataloader has {images} images{of_process}, fewer than '
            f'batch_size={size}, and drop_last=True leaves no step; set '
            f'train_dataloader.batch_size to at most {share}, or '
            'train_dataloader.drop_last=False if no layer, as BatchNorm, '
            'needs more'
        )
