"""The trainings of detectors beside those of the paper, stock and on plans."""

from __future__ import annotations

from .experiment import Experiment, Row
from .runs import Run

__all__ = ['FAMILIES', 'FAMILY_SEARCH']

_CPU = ('cpu',)
_ASSIGNER = 'model.train_cfg.assigner.'
_RPN = 'model.train_cfg.rpn.assigner.'
_RCNN = 'model.train_cfg.rcnn.assigner.'
_TWO_STAGES = dict(nms={}, no_nms={'model.test_cfg.rcnn.nms': 'None'})


def _run(config: str, options: dict[str, float] | None = None) -> Run:
    """A training at CPU scale, named by the options that differ."""
    options = options or {}
    words = [
        f'{key.split("model.train_cfg.")[-1].replace("assigner.", "")}_{value}'
        for key, value in options.items()
    ]
    name = '_'.join([config, *words]).replace('.', '_')
    more = dict(evaluations=_TWO_STAGES) if 'rcnn' in config else {}
    texts = {key: str(value) for key, value in options.items()}
    return Run(name, config, texts, scales=_CPU, **more)


def _thresholds(positive: float, negative: float) -> dict[str, float]:
    return {
        _ASSIGNER + 'pos_iou_thr': positive,
        _ASSIGNER + 'neg_iou_thr': negative,
    }


FAMILY_SEARCH = Experiment(
    title='Thresholds of other detectors',
    header=('detector', 'threshold'),
    rows=(
        *(
            Row(
                ('RetinaNet', f'IoU {positive} / {negative}'),
                _run('retinanet', _thresholds(positive, negative)),
            )
            for positive, negative in (
                (0.5, 0.4),
                (0.4, 0.4),
                (0.4, 0.3),
                (0.3, 0.3),
            )
        ),
        *(
            Row(
                ('Faster R-CNN', f'IoU {rpn} / 0.3 in the RPN'),
                _run('faster_rcnn', {_RPN + 'pos_iou_thr': rpn}),
            )
            for rpn in (0.7, 0.6, 0.5)
        ),
        Row(('ATSS', '–'), _run('atss')),
        Row(('RTMDet', '–'), _run('rtmdet')),
    ),
    claim='nothing about these detectors.',
)
FAMILIES = Experiment(
    title='Other detectors',
    header=('detector', 'matching'),
    rows=(),
    claim='nothing about these detectors.',
)
