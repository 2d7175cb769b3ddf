"""Models of mmdet with a head on plans and their own assigner: as before."""

import numpy as np
import pytest
from helpers.models import STOCK, small_model, train_step
from mmengine.registry import DefaultScope

import mmdet_uot.heads  # noqa: F401

pytestmark = pytest.mark.slow

MODELS = {
    'ddq/ddq-detr-4scale_r50_8xb2-12e_coco': 'bbox_head',
    'mask2former/mask2former_r50_8xb2-lsj-50e_coco': 'panoptic_head',
    'mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic': 'panoptic_head',
    'maskformer/maskformer_r50_ms-16xb1-75e_coco': 'panoptic_head',
}


@pytest.mark.parametrize('name', MODELS)
def test_only_the_head_changes(name):
    if not (STOCK / f'{name}.py').exists():
        pytest.skip('mmdet 3.1 has no DDQ')
    model = small_model(name)
    head = model[MODELS[name]]
    assigner = model.train_cfg.assigner
    with DefaultScope.overwrite_default_scope('mmdet'):
        stock = train_step(model, 64)
        head.type = f'UOT{head.type}'
        same = train_step(model, 64)
        assigner.type = 'SinkhornAssigner'
        plan = train_step(model, 64)
    assert same == pytest.approx(stock, rel=1e-5, abs=1e-6)
    assert plan.keys() == stock.keys()
    assert np.isfinite([*plan.values()]).all()
    assert plan != same
