"""What the matching does while a detector is trained."""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext
from itertools import chain
from pathlib import Path

import torch
from mmdet.registry import HOOKS
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn

from .._options import check_choice, named_options
from ..assigners import PlanAssigner, find_assigners
from ..matched_images.summary import (
    best_predictions,
    describe,
    load_images,
    match_images,
)
from ..matched_images.timer import MatchingTimer
from ..visualization import MatchedImage, draw_matching, draw_plan, to_rgb

__all__ = ['MatchingDiagnosticsHook']

SPLITS = ('train', 'val')
PICTURES = ('matching', 'plan')

# Where the message hub, and with it a checkpoint, keeps the best predictions.
LAST_TIME = 'matching/last_time'


@HOOKS.register_module()
@named_options
class MatchingDiagnosticsHook(Hook):
    r"""Logs what becomes of the matching of some images over training.

    After an epoch the same images are matched as in training: with the
    assigner of the model, ours or any of mmdet's, and the weights as they
    are; layers such as dropout do as in testing. Where a model matches more
    than once, it is the last decoder layer, else the first matching (anchors).
    Of the plans :math:`N_p \hat P`, logged with the number of the epoch:

    - ``matching/instability``: share of the ground truths j whose best
      prediction :math:`\arg\max_i P_{ij}` is not that of the last time
    - ``matching/one_to_one``: share of the ground truths with which a
      prediction shares more than half of the mass of either,
      see :func:`mmdet_uot.ot.has_one_to_one`
    - ``matching/foreground_mass``: :math:`N_p \sum_{ij} P_{ij}` over the
      number of ground truths
    - ``matching/entropy``: :math:`-\sum_{ij} P_{ij} (\log P_{ij} - 1)`, for a
      total mass of 1, background included; mean over the images
    - ``matching/support``: number of pairs of the closest uniform match
      (Prop. 8), background included; mean over the images
    - ``matching/marginal_error``: distance from convergence as a share of the
      mass, see :class:`mmdet_uot.ot.TransportPlan`; mean over the images

    And of the training since the last time, for all its images:

    - ``matching/bad_costs``: match costs that were NaN or infinite
    - ``matching/time_share``: share of assigners in the time of training
      steps, which is without that of waiting for data

    Not logged are the instability the first time, the marginal error of an
    exact matcher and the bad costs of mmdet's assigners: there are none.

    The training is not changed: random numbers and buffers are put back, and
    a resumed training goes on with the best predictions of its checkpoint.
    (Only mmdet's ``DynamicRoIHead``, which learns from what it sees, changes.)
    In distributed training all processes match the images, as losses of mmdet
    exchange averages, and the main one logs; the share of time is its own.
    Beside what is wrong in the config before training (see below), failures
    are one warning each, and training goes on.

    .. code-block:: python

        custom_hooks = [
            dict(type='MatchingDiagnosticsHook', picture_interval=10)
        ]

    Args:
        split (str): Dataset of the images: ``'train'``, with the pipeline of
            validation, which does not augment, or ``'val'``. Defaults to
            ``'train'``.
        num_images (int): How many images, spread evenly over the dataset.
            Defaults to 8.
        interval (int): Every how many epochs. Defaults to 1.
        by_epoch (bool): Whether intervals count epochs rather than
            iterations. Defaults to True.
        picture_interval (int, optional): Every how many epochs the first
            image is drawn, a multiple of ``interval``. The visualizer takes
            it to its backends as ``matching``. Defaults to None, never.
        picture (str): ``'matching'``, boxes and the mass between them, or
            ``'plan'``, a heat map. Defaults to ``'matching'``.

    Raises:
        ValueError: If an option is out of its range; when training starts, if
            the config has no such images, the images no ground truths, or the
            model no assigner, if there are no epochs to count, or another
            such hook.
    """

    def __init__(
        self,
        *,
        split: str = 'train',
        num_images: int = 8,
        interval: int = 1,
        by_epoch: bool = True,
        picture_interval: int | None = None,
        picture: str = 'matching',
    ) -> None:
        check_choice('split', split, SPLITS)
        check_choice('picture', picture, PICTURES)
        for name, value in (
            ('num_images', num_images),
            ('interval', interval),
            ('picture_interval', picture_interval or interval),
        ):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f'{name} must be a whole number of at least 1, got '
                    f'{value!r}'
                )
        if picture_interval is not None and picture_interval % interval:
            raise ValueError(
                f'picture_interval must be a multiple of interval={interval}, '
                f'got {picture_interval}; None draws nothing'
            )
        self.split, self.num_images = split, num_images
        self.interval, self.by_epoch = interval, by_epoch
        self.picture_interval, self.picture = picture_interval, picture
        # Without them the hook does nothing.
        self.samples: list[dict] = []
        self.failures: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Loads the images and looks for assigners."""
        if self.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError(
                'by_epoch=True needs epochs, which IterBasedTrainLoop does '
                'not count; set by_epoch=False and interval in iterations'
            )
        if sum(type(hook) is type(self) for hook in runner.hooks) > 1:
            raise ValueError(
                'custom_hooks has several MatchingDiagnosticsHook, which '
                'would log their numbers under the same names; keep one'
            )
        model = _without_wrapper(runner.model)
        assigners = find_assigners(model)
        if not assigners:
            raise ValueError(
                'MatchingDiagnosticsHook needs a model with an assigner, but '
                f'{type(model).__name__} has none; leave out the hook'
            )
        self.builders = [
            assigner.cost
            for assigner in assigners
            if isinstance(assigner, PlanAssigner)
        ]
        # What the config lacks is an error now, not after an epoch.
        try:
            samples = load_images(runner.cfg, self.split, self.num_images)
            self._match(runner, samples[:1])
        except ValueError:
            raise
        except Exception as error:
            self._warn(runner, 'no image can be matched', error)
            return
        self.samples = samples
        device = next(model.parameters()).device
        self.timer = MatchingTimer(assigners, device)
        self.bad_costs_before = self._count_bad_costs()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None
    ) -> None:
        """Starts the clock."""
        if self.samples:
            self.timer.start_step()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: object = None,
        outputs: dict | None = None,
    ) -> None:
        """Stops the clock; without epochs, matches the images."""
        if not self.samples:
            return
        self.timer.end_step()
        if not self.by_epoch and self.every_n_train_iters(
            runner, self.interval
        ):
            self._diagnose(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Matches the images."""
        if self.by_epoch and self.every_n_epochs(runner, self.interval):
            self._diagnose(runner, runner.epoch + 1)

    def _diagnose(self, runner: Runner, step: int) -> None:
        if not self.samples:
            return
        try:
            self._measure(runner, step)
        except Exception as error:
            self._warn(runner, 'the matching was not measured', error)

    def _measure(self, runner: Runner, step: int) -> None:
        count = self._count_bad_costs()
        bad_costs = torch.tensor(count - self.bad_costs_before).double()
        self.bad_costs_before = count
        all_reduce(bad_costs)
        # All processes do: losses of mmdet exchange averages, for which a
        # process that did it alone would wait forever.
        images = self._match(runner, self.samples)
        if not is_main_process():
            return
        numbers = describe(images)
        numbers['instability'] = self._instability(runner, images)
        if self.builders:
            numbers['bad_costs'] = bad_costs.item()
        numbers['time_share'] = self.timer.pop_share()
        self._log(runner, step, numbers)
        if self.picture_interval and step % self.picture_interval == 0:
            try:
                self._draw(runner, step, images)
            except Exception as error:
                self._warn(runner, 'no picture was drawn', error)

    def _warn(self, runner: Runner, what: str, error: Exception) -> None:
        """Says once what failed."""
        if what not in self.failures:
            self.failures.add(what)
            runner.logger.warning(
                f'MatchingDiagnosticsHook: {what}: {type(error).__name__}: '
                f'{error}. Training goes on; this is said once.'
            )

    def _match(
        self, runner: Runner, samples: list[dict]
    ) -> list[MatchedImage]:
        """Matches images; their bad costs are none of the training."""
        logs = [builder.log for builder in self.builders]
        for builder in self.builders:
            # The copy of a log begins at zero.
            builder.log = copy.copy(builder.log)
        # Of optimizers that take turns each model has its own.
        optim_wrapper = runner.optim_wrapper
        context = (
            nullcontext()
            if isinstance(optim_wrapper, OptimWrapperDict)
            else optim_wrapper.optim_context(runner.model)
        )
        try:
            # In the precision of the training.
            with context:
                return match_images(_without_wrapper(runner.model), samples)
        finally:
            for builder, log in zip(self.builders, logs):
                builder.log = log

    def _count_bad_costs(self) -> int:
        return sum(builder.log.num_entries for builder in self.builders)

    def _instability(
        self, runner: Runner, images: list[MatchedImage]
    ) -> float | None:
        """Share of ground truths with another best prediction than before."""
        best = best_predictions(images)
        paths = [x['data_samples'].get('img_path', '') for x in self.samples]
        now = dict(
            images=[Path(path).name for path in paths],
            num_gts=[len(of_image) for of_image in best],
        )
        last = runner.message_hub.get_info(LAST_TIME)
        runner.message_hub.update_info(LAST_TIME, dict(now, best=best))
        # Of the checkpoint of a training that looked at other images.
        if last is None or any(last[name] != now[name] for name in now):
            return None
        pairs = zip(chain(*best), chain(*last['best']))
        return sum(i != j for i, j in pairs) / sum(now['num_gts'])

    def _log(
        self, runner: Runner, step: int, numbers: dict[str, float | None]
    ) -> None:
        scalars = {
            f'matching/{name}': value
            for name, value in numbers.items()
            if value is not None
        }
        for name, value in scalars.items():
            runner.message_hub.update_scalar(name, value)
        runner.logger.info(
            f'{self._when(step)}, {len(self.samples)} images:  '
            + '  '.join(f'{name}: {x:.4g}' for name, x in scalars.items())
        )
        if not self.by_epoch:
            # As in the log's lines of the training itself.
            scalars['iter'] = step
            if runner.log_processor.by_epoch:
                scalars['epoch'] = runner.epoch + 1
        # JSON has no infinity.
        finite = {k: v for k, v in scalars.items() if math.isfinite(v)}
        runner.visualizer.add_scalars(finite, step=step)

    def _draw(
        self, runner: Runner, step: int, images: list[MatchedImage]
    ) -> None:
        image = next(image for image in images if len(image.gt_boxes))
        title = f'Matching, {self._when(step)}'
        if self.picture == 'plan':
            figure = draw_plan(image.plan, title=title)
        else:
            figure = draw_matching(image, title=title)
        runner.visualizer.add_image('matching', to_rgb(figure), step)

    def _when(self, step: int) -> str:
        return f'{"epoch" if self.by_epoch else "iteration"} {step}'


def _without_wrapper(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model
