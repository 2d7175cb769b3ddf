"""Models of mmdet with a head on plans and their own assigner: as before."""

import numpy as np
import pytest
from helpers.models import STOCK, small_model, train_step
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope

import mmdet_uot.heads  # noqa: F401

pytestmark = pytest.mark.slow

TOOD = 'tood/tood_r50_fpn_1x_coco'
SINKHORN = dict(assigner=dict(type='SinkhornAssigner'))
# Config, part with the head, other settings of training, assigners of plans.
MODELS = [
    ('ddq/ddq-detr-4scale_r50_8xb2-12e_coco', 'bbox_head', {}, SINKHORN),
    *(
        (f'{name}_coco{kind}', 'panoptic_head', {}, SINKHORN)
        for name, kind in (
            ('mask2former/mask2former_r50_8xb2-lsj-50e', ''),
            ('mask2former/mask2former_r50_8xb2-lsj-50e', '-panoptic'),
            ('maskformer/maskformer_r50_ms-16xb1-75e', ''),
        )
    ),
    (TOOD, 'bbox_head', {}, dict(initial_assigner=dict(type='UOTAssigner'))),
    (
        TOOD,
        'bbox_head',
        dict(initial_epoch=0),
        dict(
            assigner=dict(
                type='UOTAssigner', preset='task_aligned', epsilon=0.05
            )
        ),
    ),
]


@pytest.mark.parametrize('name, part, train_cfg, assigners', MODELS)
def test_only_the_head_changes(name, part, train_cfg, assigners, monkeypatch):
    # TOOD asks for it; a Runner says it.
    hub = MessageHub.get_current_instance()
    monkeypatch.setitem(hub.runtime_info, 'epoch', 0)
    if not (STOCK / f'{name}.py').exists():
        pytest.skip('mmdet 3.1 has no DDQ')
    model = small_model(name)
    model.train_cfg.update(train_cfg)
    with DefaultScope.overwrite_default_scope('mmdet'):
        stock = train_step(model, 64)
        model[part].type = f'UOT{model[part].type}'
        same = train_step(model, 64)
        for assigner, config in assigners.items():
            # Options of queries' costs stay.
            own = model.train_cfg[assigner]
            kept = own if 'match_costs' in own else {}
            model.train_cfg[assigner] = {**kept, **config}
        plan = train_step(model, 64)
    assert same == pytest.approx(stock, rel=1e-5, abs=1e-6)
    assert plan.keys() == stock.keys()
    assert np.isfinite([*plan.values()]).all()
    assert plan != same
