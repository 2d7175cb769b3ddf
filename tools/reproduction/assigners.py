"""The assigners of today on one detector, ATSS."""

from __future__ import annotations

from .experiment import Experiment, Row
from .families import of_family
from .runs import ASSIGNER, Run

__all__ = ['ASSIGNERS']


def _preset(
    name: str, preset: str, epsilon: float | None = None, **options: str
) -> Row:
    words, texts = [f'atss_{preset}'], {ASSIGNER + 'preset': preset, **options}
    if epsilon is not None:
        words.append(f'epsilon_{epsilon}')
        texts[ASSIGNER + 'epsilon'] = str(epsilon)
        name += f', epsilon {epsilon}'
    if options:
        words.append('falling_mass')
        name += ', masses 8 to 1 by epoch 7'
    run = Run('_'.join(words), 'atss_sim_ota', texts, scales=('cpu',))
    return Row((name,), run)


_FALLING = {
    ASSIGNER + 'gt_mass': '8.0',
    'default_hooks.mass_schedule.type': 'MatchingScheduleHook',
    'default_hooks.mass_schedule.gt_mass': '[8.0,1.0]',
    'default_hooks.mass_schedule.end': '7',
}
ASSIGNERS = Experiment(
    title="Assigners on one detector: ATSS's head and losses",
    header=('assigner',),
    rows=(
        of_family('ATSS', 'ATSSAssigner'),
        of_family('ATSS', 'plan, background 0.7'),
        _preset('SimOTA', 'sim_ota'),
        _preset('SimOTA', 'sim_ota', 0.05),
        _preset('OTA', 'ota'),
        _preset('TAL', 'task_aligned'),
        _preset('TAL', 'task_aligned', 0.05),
        _preset("RTMDet's", 'dynamic_soft_label'),
        _preset("RTMDet's", 'dynamic_soft_label', 0.05),
        _preset("RTMDet's", 'dynamic_soft_label', 0.05, **_FALLING),
    ),
)
