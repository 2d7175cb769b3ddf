"""MMDetection's own cases for detectors of the DETR family, with our heads."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / 'configs'
SIDE = 64
REFINE = dict(with_box_refine=True)
DETECTORS = {
    'DETR': ('detr_ot_coco', {}),
    'Conditional DETR': ('conditional_detr_ot_coco', {}),
    'DAB-DETR': ('dab_detr_ot_coco', {}),
    'Deformable DETR': ('deformable_detr_ot_coco', {}),
    'with refinement': ('deformable_detr_ot_coco', REFINE),
    'in two stages': (
        'deformable_detr_ot_coco',
        dict(as_two_stage=True, **REFINE),
    ),
    'DINO': ('dino_ot_coco', {}),
}


@pytest.fixture(params=DETECTORS)
def detector(request):
    """A detector with ResNet-18 and two layers; else as in its config."""
    name, options = DETECTORS[request.param]
    model = Config.fromfile(CONFIGS / f'{name}.py').model
    model.update(options)
    model.backbone.update(depth=18, init_cfg=None)
    channels = [64, 128, 256, 512]
    model.neck.in_channels = [channels[i] for i in model.backbone.out_indices]
    model.encoder.num_layers = model.decoder.num_layers = 2
    if model.get('as_two_stage'):
        model.num_queries = 30
    with DefaultScope.overwrite_default_scope('mmdet'):
        torch.manual_seed(0)
        built = MODELS.build(model)
        built.init_weights()
        yield built


def losses(detector, boxes, labels):
    sample = DetDataSample(
        metainfo=dict(
            img_shape=(SIDE, SIDE),
            pad_shape=(SIDE, SIDE),
            batch_input_shape=(SIDE, SIDE),
            scale_factor=(1, 1),
        ),
        gt_instances=InstanceData(
            bboxes=torch.tensor(boxes).view(-1, 4),
            labels=torch.tensor(labels, dtype=torch.int64),
        ),
    )
    images = torch.rand(1, 3, SIDE, SIDE)
    return detector.loss(images, [sample]), images, sample


def test_without_objects_there_is_no_box_loss(detector):
    values, *_ = losses(detector, [], [])
    assert len(values) >= 6
    for name, value in values.items():
        if 'cls' in name and 'dn' not in name:
            assert value > 0, name
        elif 'cls' not in name:
            assert value == 0, name


def test_with_an_object_every_loss_is_positive(detector):
    values, images, sample = losses(detector, [5.6, 6.8, 59.6, 37.1], [2])
    for name, value in values.items():
        assert 0 < value < float('inf'), name
    detector.eval()
    assert len(detector._forward(images, [sample])) >= 2
    with torch.no_grad():
        (result,) = detector.predict(images, [sample], rescale=True)
    assert len(result.pred_instances) > 0
