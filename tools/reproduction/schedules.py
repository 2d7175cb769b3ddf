"""Matchings that change over a training, beside those that stay."""

from __future__ import annotations

from typing import Mapping

from .experiment import Experiment, Row
from .runs import ASSIGNER, DETR_EVALUATIONS, SSD_EVALUATIONS, Run

__all__ = ['ONE_TO_ONE', 'ONE_TO_ONE_SEARCH', 'SCHEDULE_SEARCH']

Options = Mapping[str, str]
_RATE = 'optim_wrapper.optimizer.lr'


def _epsilon(first: float, last: float, iterations: int) -> Options:
    """The scale of epsilon falls exponentially; less of it takes more."""
    hook = 'default_hooks.epsilon_schedule.'
    return {
        hook + 'type': 'MatchingScheduleHook',
        hook + 'epsilon0': f'[{first},{last}]',
        hook + 'shape': 'exponential',
        ASSIGNER + 'num_iters': str(iterations),
    }


def _mass(first: float, last: float, end: int) -> Options:
    """What a ground truth asks for falls linearly until an epoch."""
    hook = 'default_hooks.mass_schedule.'
    return {
        hook + 'type': 'MatchingScheduleHook',
        hook + 'gt_mass': f'[{first},{last}]',
        hook + 'end': str(end),
    }


def _detr(
    model: str,
    *,
    matching: str = 'ot',
    rate: float | None = None,
    epsilon: tuple[float, float, int] | None = None,
    mass: tuple[float, float, int] | None = None,
) -> Row:
    name = 'Hungarian' if matching == 'hungarian' else 'OT'
    words, settings = [f'{model}_{matching}'], [name]
    # As in Fig. 5, with which it shares trainings.
    options = {'train_cfg.val_interval': '5'} if model == 'detr' else {}
    if epsilon:
        words.append('epsilon_{:g}_{:g}_in_{}'.format(*epsilon))
        settings.append(
            'epsilon0 {:g} to {:g}, {} iterations'.format(*epsilon)
        )
        options.update(_epsilon(*epsilon))
    if mass:
        words.append('mass_{:g}_{:g}_by_{}'.format(*mass))
        settings.append('masses {:g} to {:g} by epoch {}'.format(*mass))
        options.update(_mass(*mass))
    if rate:
        words.append(f'lr_{rate:g}')
        settings.append(f'learning rate {rate:g}')
        options[_RATE] = repr(rate)
    run = Run('_'.join(words), words[0], options, DETR_EVALUATIONS, ('cpu',))
    return Row((_NAMES[model], ', '.join(settings)), run)


_NAMES = dict(detr='DETR', deformable_detr='Deformable DETR')
_DEFORMABLE_COURSES = (
    dict(epsilon=(0.12, 0.012, 50)),
    dict(epsilon=(0.3, 0.03, 20)),
    dict(epsilon=(0.03, 0.03, 50)),
    dict(mass=(2.0, 1.0, 6)),
    dict(mass=(4.0, 1.0, 6)),
    dict(mass=(4.0, 1.0, 4)),
    dict(epsilon=(0.12, 0.012, 50), mass=(2.0, 1.0, 6)),
    dict(epsilon=(0.12, 0.012, 50), mass=(4.0, 1.0, 6)),
)
_DETR_COURSES = (
    dict(epsilon=(0.12, 0.012, 50)),
    dict(mass=(2.0, 1.0, 38)),
    dict(mass=(4.0, 1.0, 38)),
    dict(epsilon=(0.12, 0.012, 50), mass=(2.0, 1.0, 38)),
)
SCHEDULE_SEARCH = Experiment(
    title='Learning rates and schedules of query detectors',
    header=('model', 'matching'),
    group_by=1,
    rows=(
        *(
            _detr('deformable_detr', matching=matching, rate=rate)
            for rate in (2.5e-4, None, 1e-3)
            for matching in ('hungarian', 'ot')
        ),
        *(
            _detr('deformable_detr', **course)
            for course in _DEFORMABLE_COURSES
        ),
        *(
            _detr('detr', matching=matching, rate=rate)
            for rate in (2.5e-4, None, 1e-3)
            for matching in ('hungarian', 'ot')
        ),
        *(_detr('detr', **course) for course in _DETR_COURSES),
    ),
    by_epoch=True,
)


_LAYERS = 'model.bbox_head.stacked_convs'


def _rtmdet(
    setting: str, name: str, options: Options, config: str = 'rtmdet_uot'
) -> Row:
    run = Run(f'{config}_{name}', config, options, SSD_EVALUATIONS, ('cpu',))
    return Row((setting,), run)


def _falling(
    first: float, end: int, epsilon: float = 0.05, convs: int = 1
) -> Row:
    name = f'mass_{first:g}_1_by_{end}'
    setting = f'masses {first:g} to 1 by epoch {end}'
    options = {**_mass(first, 1.0, end), ASSIGNER + 'gt_mass': repr(first)}
    if epsilon != 0.05:
        name += f'_epsilon_{epsilon:g}'
        setting += f', epsilon {epsilon:g}'
        options[ASSIGNER + 'epsilon'] = repr(epsilon)
    if convs != 1:
        name += f'_convs_{convs}'
        setting += f', {convs} layers'
        options[_LAYERS] = str(convs)
    return _rtmdet(setting, name, options)


ONE_TO_ONE_SEARCH = Experiment(
    title="RTMDet's head without NMS: masses that fall to one",
    header=('matching',),
    rows=(
        _rtmdet('masses 1', 'mass_1', {ASSIGNER + 'gt_mass': '1.0'}),
        _falling(8.0, 7),
        _falling(8.0, 5),
        _falling(8.0, 10),
        _falling(4.0, 7),
        _falling(13.0, 7),
        _falling(8.0, 7, epsilon=0.01),
        _falling(8.0, 7, epsilon=0.2),
        _falling(8.0, 7, convs=2),
        _falling(8.0, 5, convs=2),
        _falling(8.0, 7, convs=3),
        _falling(4.0, 7, convs=2),
    ),
)
_TWO_LAYERS = {_LAYERS: '2'}
ONE_TO_ONE = Experiment(
    title="RTMDet's head of two layers, with and without NMS",
    header=('matching',),
    rows=(
        _rtmdet('DynamicSoftLabelAssigner', 'convs_2', _TWO_LAYERS, 'rtmdet'),
        _rtmdet('the same as a plan, epsilon 0.05', 'convs_2', _TWO_LAYERS),
        _falling(8.0, 7, convs=2),
    ),
    chosen_on=(0,),
)
