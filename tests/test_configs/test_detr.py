"""Configs of DETR and its descendants: built, trained a step, compared."""

from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs

from mmdet_uot import assigners, heads

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / 'configs'
HEADS = {
    'detr': 'UOTDETRHead',
    'deformable_detr': 'UOTDeformableDETRHead',
    'conditional_detr': 'UOTConditionalDETRHead',
    'dab_detr': 'UOTDABDETRHead',
    'dino': 'UOTDINOHead',
}
NAMES = sorted(
    path.stem
    for path in CONFIGS.glob('*.py')
    if path.stem.startswith((*HEADS,))
)
STOCK = {
    'detr': 'mmdet::detr/detr_r50_8xb2-150e_coco.py',
    'deformable_detr': (
        'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'
    ),
    'conditional_detr': (
        'mmdet::conditional_detr/conditional-detr_r50_8xb2-50e_coco.py'
    ),
    'dab_detr': 'mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py',
    'dino': 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
}
TWINS = [
    name
    for name in NAMES
    if '_ot' in name and name.replace('_ot', '_hungarian') in NAMES
]


def model_of(name):
    return max((key for key in HEADS if name.startswith(key)), key=len)


def test_there_is_a_config_for_every_setting():
    expected = [
        f'{model}_{matching}{tier}'
        for model in ('detr', 'deformable_detr')
        for matching in ('ot', 'hungarian')
        for tier in ('', '_coco', '_cpu')
    ]
    expected += ['detr_hungarian_300e', 'detr_ot_schedule_cpu']
    expected += [f'{x}_ot_coco' for x in ('conditional_detr', 'dab_detr')]
    assert sorted([*expected, 'dino_ot_coco']) == NAMES


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.slow
def test_one_step_of_training(name, load, assert_trains):
    cfg = load(name).model
    head = cfg.bbox_head
    assert head.type == HEADS[model_of(name)]
    assert head.num_classes == (80 if name.endswith('_coco') else 20)
    cfg.backbone.init_cfg = None
    model = MODELS.build(cfg)
    model.init_weights()
    assert type(model.bbox_head) is getattr(heads, head.type)
    # DINO chooses 900 of the places of its feature maps.
    side = 256 if cfg.get('as_two_stage') else 64
    data = demo_mm_inputs(
        2, [[3, side, side]] * 2, num_items=[3, 0], num_classes=20
    )
    data = model.data_preprocessor(data, training=True)
    losses = model(**data, mode='loss')
    terms = ('loss_cls', 'loss_bbox', 'loss_iou')
    layers = cfg.decoder.num_layers
    prefixes = ['', *(f'd{layer}.' for layer in range(layers - 1))]
    if cfg.get('as_two_stage'):
        prefixes += ['enc_', 'dn_']
        prefixes += [f'd{layer}.dn_' for layer in range(layers - 1)]
    names = [prefix + term for prefix in prefixes for term in terms]
    assert_trains(model, losses, names)


@pytest.mark.parametrize('name', TWINS)
def test_twins_differ_in_the_matching_only(name, load):
    ours = load(name).to_dict()
    twin = load(name.replace('_ot', '_hungarian')).to_dict()
    pair = [cfg['model']['train_cfg']['assigner'] for cfg in (ours, twin)]
    types = [assigner.pop('type') for assigner in pair]
    assert types == ['SinkhornAssigner', 'HungarianAssigner']
    assert ours == twin


@pytest.mark.parametrize('name', [x for x in NAMES if x.endswith('_coco')])
def test_coco_configs_are_mmdets_but_for_head_and_matching(name, load):
    stock, ours = load(STOCK[model_of(name)]).to_dict(), load(name).to_dict()
    assert ours.pop('custom_imports')['imports'] == ['mmdet_uot']
    stock.pop('custom_imports', None)
    ours['model']['bbox_head']['type'] = stock['model']['bbox_head']['type']
    pair = [cfg['model'].pop('train_cfg') for cfg in (stock, ours)]
    if name.startswith(('detr', 'deformable')):
        # The paper's weights, see below.
        for cfg in (stock, ours):
            cfg['model']['bbox_head']['loss_cls'].pop('loss_weight')
    else:
        assert pair[1]['assigner'].pop('type') == 'SinkhornAssigner'
        assert pair[0]['assigner'].pop('type') == 'HungarianAssigner'
        assert pair[0] == pair[1]
    assert stock == ours


@pytest.mark.parametrize('name', TWINS)
def test_the_papers_numbers(name, load):
    cfg = load(name)
    head, deformable = cfg.model.bbox_head, 'deformable' in name
    weights = [head[f'loss_{term}'].loss_weight for term in ('bbox', 'iou')]
    assert [head.loss_cls.loss_weight, *weights] == [2, 5, 2]
    assigner = cfg.model.train_cfg.assigner
    costs = [cost.weight for cost in assigner.match_costs]
    assert costs == [5 if deformable else 2, 5, 2]
    built = assigners.SinkhornAssigner(match_costs=assigner.match_costs)
    assert built.solver.epsilon0 is None
    assert built.solver.epsilon_rule == 'log_2n'
    assert built.solver.num_iters == 20
    if not name.endswith('_cpu'):
        assert cfg.train_cfg.max_epochs == (50 if deformable else 150)
    assert cfg.model.num_queries == (300 if deformable else 100)


@pytest.mark.parametrize('name', [x for x in NAMES if x.endswith('_cpu')])
def test_learning_rates_are_for_the_batch_they_were_chosen_for(name, load):
    cfg = load(name)
    batch = cfg.auto_scale_lr.base_batch_size
    assert batch == cfg.train_dataloader.batch_size


def test_the_longer_training_of_the_paper(load):
    cfg = load('detr_hungarian_300e')
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[0].end == 300
    assert cfg.model == load('detr_hungarian').model
