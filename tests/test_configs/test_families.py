"""Other detectors at CPU scale: each trains a step, stock and on plans."""

import pytest
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs

pytestmark = pytest.mark.slow

ONE_STAGE = {'loss_cls', 'loss_bbox'}
LOSSES = {
    'retinanet': ONE_STAGE,
    'faster_rcnn': {*ONE_STAGE, 'loss_rpn_cls', 'loss_rpn_bbox', 'acc'},
    'atss': {*ONE_STAGE, 'loss_centerness'},
    'rtmdet': ONE_STAGE,
    'mask2former': {
        f'{prefix}loss_{term}'
        for prefix in ('', 'd0.', 'd1.', 'd2.')
        for term in ('cls', 'mask', 'dice')
    },
}
# Stock -> on plans.
TWINS = {
    'retinanet': 'retinanet_uot',
    'faster_rcnn': 'faster_rcnn_uot',
    'atss': 'atss_uot',
    'rtmdet': 'rtmdet_uot',
    'mask2former': 'mask2former_ot',
}
CONFIGS = [
    *(
        (name, stock)
        for stock, ours in TWINS.items()
        for name in (stock, ours)
    ),
    ('atss_sim_ota', 'atss'),
    ('rtmdet_one_to_one', 'rtmdet'),
]


@pytest.mark.parametrize(('name', 'stock'), CONFIGS)
def test_one_step_of_training(name, stock, load, assert_trains):
    cfg = load(f'{name}_cpu')
    model = MODELS.build(cfg.model)
    model.init_weights()
    data = demo_mm_inputs(
        2,
        [[3, 128, 128]] * 2,
        num_items=[4, 0],
        num_classes=20,
        with_mask=stock == 'mask2former',
    )
    data = model.data_preprocessor(data, training=True)
    assert_trains(model, model(**data, mode='loss'), LOSSES[stock])


@pytest.mark.parametrize('name', TWINS)
def test_plans_change_nothing_but_heads_and_assigners(name, load):
    stock, ours = load(f'{name}_cpu'), load(f'{TWINS[name]}_cpu')
    for key in ('train_dataloader', 'optim_wrapper', 'param_scheduler'):
        assert stock[key] == ours[key]
    for cfg in (stock, ours):
        cfg.model.pop('train_cfg')
        for head in ('bbox_head', 'rpn_head', 'roi_head', 'panoptic_head'):
            cfg.model.get(head, {}).pop('type', None)
    assert stock.model == ours.model
