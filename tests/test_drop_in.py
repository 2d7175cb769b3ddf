"""Configs of mmdet train as before when only their assigners are ours.

Where ours are set to the problem of the stock assigner, all losses are equal:
nothing else has changed. With another problem they are not: ours are used.
"""

import numpy as np
import pytest
from helpers.models import STOCK, small_model, train_step
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

import mmdet_uot  # noqa: F401

pytestmark = pytest.mark.slow

# Configs, and what else must be changed for a small model of stock parts.
SMALL_SSD = {
    'backbone': dict(
        _delete_=True,
        type='ResNet',
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(1, 2),
    )
}
CONFIGS = {
    # MaxIoUAssigner
    'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco': {},
    'cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco': {},
    'crowddet/crowddet-rcnn_r50_fpn_8xb2-30e_crowdhuman': {
        'roi_head.bbox_roi_extractor.roi_layer.use_torchvision': False
    },
    'double_heads/dh-faster-rcnn_r50_fpn_1x_coco': {},
    'faster_rcnn/faster-rcnn_r50_fpn_1x_coco': {},
    'faster_rcnn/faster-rcnn_r50_fpn_fcos-rpn_1x_coco': {},
    'grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco': {},
    'guided_anchoring/ga-faster-rcnn_r50_fpn_1x_coco': {},
    'guided_anchoring/ga-retinanet_r50_fpn_1x_coco': {},
    'htc/htc_r50_fpn_1x_coco': {},
    'libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco': {},
    'mask_rcnn/mask-rcnn_r50_fpn_1x_coco': {},
    'ms_rcnn/ms-rcnn_r50_fpn_1x_coco': {},
    'panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco': {
        'semantic_head.norm_cfg.num_groups': 16
    },
    'pisa/faster-rcnn_r50_fpn_pisa_1x_coco': {},
    'pisa/retinanet-r50_fpn_pisa_1x_coco': {},
    'pisa/ssd300_pisa_coco': SMALL_SSD,
    'point_rend/point-rend_r50-caffe_fpn_ms-1x_coco': {},
    'reppoints/reppoints-bbox_r50_fpn-gn_head-gn-grid_1x_coco': {},
    'reppoints/reppoints-moment_r50_fpn_1x_coco': {
        # Boxes of some size, where stock weights give points.
        'bbox_head.init_cfg': dict(type='Xavier', layer='Conv2d')
    },
    'retinanet/retinanet_r50_fpn_1x_coco': {},
    'sabl/sabl-cascade-rcnn_r50_fpn_1x_coco': {},
    'scnet/scnet_r50_fpn_1x_coco': {},
    'ssd/ssd300_coco': SMALL_SSD,
    'yolact/yolact_r50_1xb8-55e_coco': {},
    # HungarianAssigner
    'conditional_detr/conditional-detr_r50_8xb2-50e_coco': {},
    'dab_detr/dab-detr_r50_8xb2-50e_coco': {},
    'ddq/ddq-detr-4scale_r50_8xb2-12e_coco': {},
    'deformable_detr/deformable-detr_r50_16xb2-50e_coco': {},
    'deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco': {},
    'detr/detr_r50_8xb2-150e_coco': {},
    'dino/dino-4scale_r50_8xb2-12e_coco': {},
    'mask2former/mask2former_r50_8xb2-lsj-50e_coco': {},
    'mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic': {},
    'maskformer/maskformer_r50_ms-16xb1-75e_coco': {},
    'queryinst/queryinst_r50_fpn_1x_coco': {},
    'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco': {},
}
# By what they replace: a stock assigner (without the grey zone of MaxIoU),
# ours with the same problem, ours with another.
ASSIGNERS = {
    'MaxIoUAssigner': [
        dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            gt_max_assign_all=False,
            ignore_iof_thr=0.5,
        ),
        dict(type='UOTAssigner', preset='ssd_two_stage', ignore_iof_thr=0.5),
        dict(type='UOTAssigner'),
    ],
    'HungarianAssigner': [
        dict(type='HungarianAssigner'),
        dict(type='SinkhornAssigner', epsilon=0),
        dict(
            type='SinkhornAssigner', match_costs=dict(type='OneMinusProbCost')
        ),
    ],
}


def with_assigners(value, which):
    """A copy of a config with the stock assigners replaced."""
    if isinstance(value, dict):
        if value.get('type') in ASSIGNERS:
            costs = {k: v for k, v in value.items() if k == 'match_costs'}
            return ConfigDict(costs, **ASSIGNERS[value['type']][which])
        return ConfigDict(
            {k: with_assigners(v, which) for k, v in value.items()}
        )
    if isinstance(value, (list, tuple)):
        return type(value)(with_assigners(item, which) for item in value)
    return value


@pytest.mark.parametrize('name', CONFIGS)
def test_only_the_assigner_changes(name):
    if not (STOCK / f'{name}.py').exists():
        pytest.skip('mmdet 3.1 has no DDQ')
    model = small_model(name, CONFIGS[name])
    size = 300 if 'ssd300' in name else 64
    with DefaultScope.overwrite_default_scope('mmdet'):
        stock, same, other = (
            train_step(with_assigners(model, which), size)
            for which in range(3)
        )
    assert np.isfinite([*stock.values(), *other.values()]).all()
    assert same == stock
    assert other != stock
    assert other.keys() == stock.keys()
