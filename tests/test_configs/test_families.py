"""Other detectors, stock and on plans: each trains a step."""

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
    'mask_rcnn': {
        *ONE_STAGE,
        'loss_rpn_cls',
        'loss_rpn_bbox',
        'acc',
        'loss_mask',
    },
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
# On plans -> stock, on COCO.
RECIPES = {
    'retinanet_uot': 'retinanet/retinanet_r50_fpn_1x_coco',
    'faster_rcnn_uot': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco',
    'mask_rcnn_uot': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco',
    'atss_uot': 'atss/atss_r50_fpn_1x_coco',
    'rtmdet_s_uot': 'rtmdet/rtmdet_s_8xb32-300e_coco',
}


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


@pytest.mark.parametrize('name', RECIPES)
def test_one_step_of_a_recipe_for_coco(name, load, assert_trains):
    cfg = load(f'{name}_coco').model
    cfg.backbone.init_cfg = None
    model = MODELS.build(cfg)
    data = demo_mm_inputs(
        2, [[3, 96, 96]] * 2, num_items=[3, 0], with_mask='mask' in name
    )
    data = model.data_preprocessor(data, training=True)
    losses = model(**data, mode='loss')
    family = next(x for x in LOSSES if name.startswith(x))
    assert_trains(model, losses, LOSSES[family])


@pytest.mark.parametrize('name', TWINS)
def test_plans_change_nothing_but_heads_and_assigners(name, load):
    stock, ours = load(f'{name}_cpu'), load(f'{TWINS[name]}_cpu')
    assert_differ_by_matching(stock, ours)


@pytest.mark.parametrize('name', RECIPES)
def test_recipes_change_nothing_but_heads_and_assigners(name, load):
    stock = load(f'mmdet::{RECIPES[name]}.py')
    assert_differ_by_matching(stock, load(f'{name}_coco'))


def assert_differ_by_matching(stock, ours):
    for key in ('train_dataloader', 'optim_wrapper', 'param_scheduler'):
        assert stock[key] == ours[key]
    for cfg in (stock, ours):
        stages = cfg.model.pop('train_cfg')
        for stage in (stages, stages.get('rpn', {}), stages.get('rcnn', {})):
            stage.pop('assigner', None)
        cfg.model.stages = stages
        for head in ('bbox_head', 'rpn_head', 'roi_head', 'panoptic_head'):
            cfg.model.get(head, {}).pop('type', None)
        cfg.model.get('roi_head', {}).get('mask_head', {}).pop('type', None)
    assert stock.model == ours.model
