"""Blood cells: real images beside Color Boxes."""

from __future__ import annotations

from .experiment import Experiment, Row
from .runs import ASSIGNER, DETR_EVALUATIONS, Run

__all__ = ['CELLS']


def _ssd(setting: str, config: str, name: str = '', **assigner: str) -> Row:
    options = {ASSIGNER + key: value for key, value in assigner.items()}
    run = Run(name or config, config, options, scales=('cpu',))
    return Row(('SSD300', setting), run)


def _deformable(setting: str, matching: str) -> Row:
    config = f'bccd_deformable_detr_{matching}'
    run = Run(config, config, {}, DETR_EVALUATIONS, ('cpu',))
    return Row(('Deformable DETR', setting), run)


CELLS = Experiment(
    title='Blood cells (BCCD)',
    images='205 training and 72 test images',
    header=('model', 'matching'),
    group_by=1,
    rows=(
        _ssd('two-stage', 'bccd_ssd300_two_stage'),
        _ssd('unbalanced OT, tau2 = 0.01', 'bccd_ssd300_uot'),
        _ssd(
            'OT',
            'bccd_ssd300_uot',
            'bccd_ssd300_ot',
            tau1='inf',
            tau2='inf',
        ),
        _deformable('Hungarian', 'hungarian'),
        _deformable('OT', 'ot'),
    ),
)
