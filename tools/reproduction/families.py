"""The trainings of detectors beside those of the paper, stock and on plans."""

from __future__ import annotations

from dataclasses import replace
from typing import Mapping

from .experiment import Experiment, Row
from .runs import ASSIGNER, DETR_EVALUATIONS, Run

__all__ = ['FAMILIES', 'FAMILY_SEARCH', 'of_family']

Options = Mapping[str, object]
_RPN = 'model.train_cfg.rpn.assigner.'
_TWO_STAGES = dict(nms={}, no_nms={'model.test_cfg.rcnn.nms': 'None'})
_AT_LEAST_ONE = 'plan, at least 1 each'
# mmdet's heads in place of ours: they get the hard view of the plan.
_HARD = {
    'retinanet_uot': {'model.bbox_head.type': 'RetinaHead'},
    'faster_rcnn_uot': {
        'model.rpn_head.type': 'RPNHead',
        'model.roi_head.type': 'StandardRoIHead',
    },
}


def _row(detector: str, config: str, setting: str, options: Options) -> Row:
    """A training at CPU scale, named by the options that differ."""
    hard = _HARD.get(config, {}) if 'hard view' in setting else {}
    words = [config, *(['hard'] if hard else [])]
    for key, value in options.items():
        of_rpn = 'rpn_' if key.startswith(_RPN) else ''
        text = str(value).replace(',', '_').strip('[]')
        words.append(f'{of_rpn}{key.split(".")[-1]}_{text}')
    texts = {key: str(value) for key, value in {**hard, **options}.items()}
    evaluations = {}
    if detector == 'Faster R-CNN':
        evaluations = dict(evaluations=_TWO_STAGES)
    run = Run('_'.join(words), config, texts, scales=('cpu',), **evaluations)
    return Row((detector, setting), run)


def _max_iou(positive: float, negative: float) -> Row:
    return _row(
        'RetinaNet',
        'retinanet',
        f'MaxIoU {positive} / {negative}',
        {
            ASSIGNER + 'pos_iou_thr': positive,
            ASSIGNER + 'neg_iou_thr': negative,
        },
    )


def _max_iou_in_rpn(positive: float) -> Row:
    return _row(
        'Faster R-CNN',
        'faster_rcnn',
        f'MaxIoU {positive} in the RPN',
        {_RPN + 'pos_iou_thr': positive},
    )


def _background(
    detector: str, config: str, cost: float, kind: str = 'plan'
) -> Row:
    options = {ASSIGNER + 'background_cost': cost}
    if kind == _AT_LEAST_ONE:
        options.update(
            {ASSIGNER + 'gt_mass': '[1,inf]', ASSIGNER + 'tau2': 'inf'}
        )
    return _row(detector, config, f'{kind}, background {cost}', options)


def _rpn(cost: float, kind: str = 'plan') -> Row:
    return _row(
        'Faster R-CNN',
        'faster_rcnn_uot',
        f'{kind}, background {cost} in the RPN',
        {_RPN + 'background_cost': cost},
    )


def _rtmdet(name: str, preset: str, epsilon: float) -> Row:
    return _row(
        'RTMDet',
        'rtmdet_uot',
        f'{name} plan, epsilon {epsilon}',
        {ASSIGNER + 'preset': preset, ASSIGNER + 'epsilon': epsilon},
    )


_MASK2FORMER = tuple(
    Row(
        (('Mask2Former'), setting),
        Run(config, config, evaluations=DETR_EVALUATIONS, scales=('cpu',)),
    )
    for config, setting in (
        ('mask2former', 'HungarianAssigner'),
        ('mask2former_ot', 'balanced plan'),
    )
)
_SOFT_LABEL = _rtmdet('soft label', 'dynamic_soft_label', 0.05)
_COSTS = (0.5, 0.6, 0.7)
FAMILY_SEARCH = Experiment(
    title='Thresholds and background costs of other detectors',
    header=('detector', 'matching'),
    group_by=1,
    rows=(
        *(
            _max_iou(*thresholds)
            for thresholds in ((0.5, 0.4), (0.4, 0.4), (0.4, 0.3), (0.3, 0.3))
        ),
        *(_background('RetinaNet', 'retinanet_uot', cost) for cost in _COSTS),
        *(
            _background('RetinaNet', 'retinanet_uot', cost, _AT_LEAST_ONE)
            for cost in _COSTS[:2]
        ),
        *(
            _background('RetinaNet', 'retinanet_uot', cost, 'hard view')
            for cost in _COSTS
        ),
        *map(_max_iou_in_rpn, (0.7, 0.6, 0.5)),
        *(_rpn(cost) for cost in _COSTS),
        *(_rpn(cost, 'hard view') for cost in _COSTS),
        _row('ATSS', 'atss', 'ATSSAssigner', {}),
        *(_background('ATSS', 'atss_uot', cost) for cost in _COSTS),
        _row('RTMDet', 'rtmdet', 'DynamicSoftLabelAssigner', {}),
        _rtmdet('SimOTA', 'sim_ota', 0.05),
        _rtmdet('TAL', 'task_aligned', 0.05),
        _SOFT_LABEL,
        *_MASK2FORMER,
    ),
)
FAMILIES = Experiment(
    title='Other detectors, each matching as the search left it',
    header=('detector', 'matching'),
    group_by=1,
    rows=(
        _max_iou(0.4, 0.4),
        _background('RetinaNet', 'retinanet_uot', 0.6, _AT_LEAST_ONE),
        _background('RetinaNet', 'retinanet_uot', 0.6, 'hard view'),
        _max_iou_in_rpn(0.5),
        _rpn(0.7),
        _rpn(0.6, 'hard view'),
        _row('ATSS', 'atss', 'ATSSAssigner', {}),
        _background('ATSS', 'atss_uot', 0.7),
        _row('RTMDet', 'rtmdet', 'DynamicSoftLabelAssigner', {}),
        _SOFT_LABEL,
        *_MASK2FORMER,
    ),
    chosen_on=(0,),
)


def of_family(detector: str, setting: str) -> Row:
    """The row of a detector and a setting, without the detector's name."""
    (row,) = (
        row for row in FAMILY_SEARCH.rows if row.cells == (detector, setting)
    )
    return replace(row, cells=(setting,))
