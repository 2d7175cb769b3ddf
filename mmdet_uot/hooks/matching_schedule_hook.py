"""Schedules for the numbers of the matching problem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Callable

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from .._options import check_choice, named_options
from ..assigners import PlanAssigner, find_assigners

__all__ = ['MatchingScheduleHook']

_Course = Callable[[float, float, float], float]

# Name -> course from a to b at the share t of the way, and what a and b may be
# beside positive and finite.
_SHAPES: dict[str, tuple[_Course, tuple[float, ...]]] = {
    'linear': (lambda a, b, t: a + (b - a) * t, (0.0,)),
    'cosine': (
        lambda a, b, t: a + (b - a) * (1 - math.cos(math.pi * t)) / 2,
        (0.0,),
    ),
    'exponential': (lambda a, b, t: a * (b / a) ** t, ()),
    'reciprocal': (
        lambda a, b, t: a if a == b else 1 / ((1 - t) / a + t / b),
        (math.inf,),
    ),
}


@HOOKS.register_module()
@named_options
class MatchingScheduleHook(Hook):
    r"""Lets epsilon, tau1, tau2 or gt_mass change over training.

    The paper names "the reduction of the entropy with time" as future work
    (Sec. 5). With step s (epoch or iteration, from 0), a number goes from
    value a to value b as

    .. math::
        t = \frac{s - \text{begin}}{\text{end} - 1 - \text{begin}}
        \text{ clipped to } [0, 1], \qquad
        x(t) = \begin{cases}
            a + (b - a) t & \text{linear} \\
            a + (b - a) \frac{1 - \cos \pi t}{2} & \text{cosine} \\
            a (b / a)^t & \text{exponential} \\
            \left( \frac{1 - t}{a} + \frac{t}{b} \right)^{-1}
            & \text{reciprocal.}
        \end{cases}

    It is a up to step ``begin`` and b from step ``end - 1`` on, as in
    MMEngine's ``LinearLR``. Nothing but the step counts, so that a resumed
    training has the values of an uninterrupted one. Every ``UOTAssigner`` and
    ``SinkhornAssigner`` of the model follows, and the values are logged as
    ``train/epsilon0`` and so on; infinite ones, which JSON does not have, are
    not.

    Numbers that change differently take a hook each. All hooks together are
    checked for every step before training:

    .. code-block:: python

        custom_hooks = [
            dict(
                type='MatchingScheduleHook',
                epsilon0=(0.5, 0.02),
                shape='exponential',
            ),
            dict(
                type='MatchingScheduleHook',
                tau2=(0.01, 'inf'),
                shape='reciprocal',
                begin=10,
                end=100,
            ),
        ]

    Args:
        epsilon (tuple[float, float], optional): First and last value of the
            regularisation, for assigners without ``epsilon0``. May end at 0,
            the exact matcher, where there is one. Defaults to None.
        epsilon0 (tuple[float, float], optional): Of its scale, for assigners
            without ``epsilon``. Defaults to None.
        tau1 (tuple[float | str, float | str], optional): Of the weight of the
            predictions' mass constraint; configs may write ``'inf'``.
            Defaults to None.
        tau2 (tuple[float | str, float | str], optional): Of the weight of the
            ground truths' mass constraint. Defaults to None.
        gt_mass (tuple[float, float], optional): Of the number of predictions
            that a ground truth asks for: from 4 to 1, training begins with
            dense supervision and ends one to one. Exact matchers round it up.
            Defaults to None.
        shape (str): ``'linear'`` or ``'cosine'``, for numbers in [0, inf),
            ``'exponential'``, for numbers in (0, inf), or ``'reciprocal'``,
            for numbers in (0, inf]. Defaults to ``'linear'``.
        begin (int): Last step with the first value. Defaults to 0.
        end (int, optional): Step after the first one with the last value.
            Defaults to None, the end of training.
        by_epoch (bool): Whether steps are epochs rather than iterations.
            Defaults to True.

    Raises:
        ValueError: If no number is given, or one that ``shape`` does not
            take, or ``end`` is less than ``begin`` + 2; when training starts,
            if the model has none of the assigners or one of them does not
            take the numbers of some step (its preset may fix them), if two
            hooks change one number, or if there are no epochs to count.
    """

    def __init__(
        self,
        *,
        epsilon: Sequence[float] | None = None,
        epsilon0: Sequence[float] | None = None,
        tau1: Sequence[float | str] | None = None,
        tau2: Sequence[float | str] | None = None,
        gt_mass: Sequence[float] | None = None,
        shape: str = 'linear',
        begin: int = 0,
        end: int | None = None,
        by_epoch: bool = True,
    ) -> None:
        check_choice('shape', shape, tuple(_SHAPES))
        given = dict(
            epsilon=epsilon,
            epsilon0=epsilon0,
            tau1=tau1,
            tau2=tau2,
            gt_mass=gt_mass,
        )
        self.ranges = {
            name: _parse_range(name, value, shape)
            for name, value in given.items()
            if value is not None
        }
        if not self.ranges:
            raise ValueError(
                f'nothing to schedule; give one of {", ".join(given)} as '
                '(first value, last value)'
            )
        if end is not None and end - begin < 2:
            raise ValueError(
                f'end must be at least begin + 2, got begin={begin} and '
                f'end={end}; the first step has the first value, step end - 1 '
                'the last'
            )
        self.shape = shape
        self.begin, self.end, self.by_epoch = begin, end, by_epoch

    def before_train(self, runner: Runner) -> None:
        """Finds the assigners and checks that they take all numbers."""
        if self.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError(
                'by_epoch=True needs epochs, which IterBasedTrainLoop does '
                'not count; set by_epoch=False and give begin and end in '
                'iterations'
            )
        total = runner.max_epochs if self.by_epoch else runner.max_iters
        last_step = (self.end or total) - 1
        # A training of one step has the first value.
        self.steps = max(last_step - self.begin, 1)
        self.assigners = [
            assigner
            for assigner in find_assigners(runner.model)
            if isinstance(assigner, PlanAssigner)
        ]
        if not self.assigners:
            raise ValueError(
                'MatchingScheduleHook needs a UOTAssigner or '
                'SinkhornAssigner, but the model has none; leave out the '
                'hook, or set train_cfg.assigner'
            )
        # The last one sets the numbers of all: on the way from one step to
        # the next, a mixture of both may have no matcher.
        self.hooks = [
            hook for hook in runner.hooks if isinstance(hook, type(self))
        ]
        if self is self.hooks[-1]:
            self._check(runner)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None
    ) -> None:
        """Sets the numbers of the step and logs them."""
        if self is not self.hooks[-1]:
            return
        numbers = self._numbers_of_all(runner.epoch, runner.iter)
        for assigner in self.assigners:
            assigner.set_numbers(**numbers)
        for name, number in numbers.items():
            if math.isfinite(number):
                runner.message_hub.update_scalar(f'train/{name}', number)
            else:
                # What is there would be logged once more.
                runner.message_hub.log_scalars.pop(f'train/{name}', None)

    def _check(self, runner: Runner) -> None:
        """Raises ValueError if some step has numbers that are not taken."""
        names = [name for hook in self.hooks for name in hook.ranges]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(
                f'several MatchingScheduleHook change {", ".join(twice)}; '
                'give each number to one of them'
            )
        if all(hook.by_epoch for hook in self.hooks):
            steps = ((epoch, 0) for epoch in range(runner.max_epochs))
        else:
            per_epoch = -(-runner.max_iters // runner.max_epochs)
            steps = ((i // per_epoch, i) for i in range(runner.max_iters))
        seen = set()
        for epoch, iteration in steps:
            numbers = self._numbers_of_all(epoch, iteration)
            # What there is a matcher for depends on no more than this.
            kinds = (*((x == 0, math.isinf(x)) for x in numbers.values()),)
            if kinds in seen:
                continue
            seen.add(kinds)
            for assigner in self.assigners:
                try:
                    assigner.with_numbers(**numbers)
                except ValueError as error:
                    raise ValueError(
                        f'MatchingScheduleHook, epoch {epoch + 1}, iteration '
                        f'{iteration + 1}: {error}'
                    ) from error

    def _numbers_of_all(self, epoch: int, iteration: int) -> dict[str, float]:
        numbers = {}
        for hook in self.hooks:
            step = epoch if hook.by_epoch else iteration
            numbers.update(hook.numbers((step - hook.begin) / hook.steps))
        return numbers

    def numbers(self, share: float) -> dict[str, float]:
        """The numbers at a share of the way; before and after it the ends."""
        if share <= 0:
            return {name: first for name, (first, _) in self.ranges.items()}
        if share >= 1:
            return {name: last for name, (_, last) in self.ranges.items()}
        course, _ = _SHAPES[self.shape]
        return {
            name: course(first, last, share)
            for name, (first, last) in self.ranges.items()
        }


def _parse_range(
    name: str, value: Sequence[float | str], shape: str
) -> tuple[float, float]:
    _, limits = _SHAPES[shape]
    try:
        first, last = map(float, value)
    except (TypeError, ValueError):
        raise ValueError(
            f'{name} must be (first value, last value), got {value!r}'
        ) from None
    if not all(0 < x < math.inf or x in limits for x in (first, last)):
        raise ValueError(
            f'shape={shape!r} does not take {name} from {first} to {last}; '
            "only 'linear' and 'cosine' take 0, only 'reciprocal' takes inf, "
            'none takes less than 0'
        )
    return first, last
