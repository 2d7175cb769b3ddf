"""Predictions in ignored boxes take no part in the losses of DETR's heads."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmdet_uot.heads import UOTDETRHead

CLASSES, LAYERS, SIZE = 4, 2, 200
COSTS = [
    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
    dict(type='OneMinusIoUCost', iou_mode='giou', weight=2.0),
]
EXACT = dict(type='SinkhornAssigner', match_costs=COSTS, epsilon=0)
SOFT = dict(type='UOTAssigner', match_costs=COSTS, epsilon=0.05, tau2=1.0)
FOCAL = dict(loss_cls=dict(type='FocalLoss', use_sigmoid=True))
TWO_STAGE = dict(**FOCAL, as_two_stage=True, num_pred_layer=LAYERS + 1)
HEADS = {
    'DETRHead': {},
    'ConditionalDETRHead': FOCAL,
    'DABDETRHead': FOCAL,
    'DeformableDETRHead': TWO_STAGE,
    'DINOHead': TWO_STAGE,
}


@pytest.fixture(params=HEADS)
def name(request):
    return request.param


def build(name, assigner, **options):
    config = dict(
        type=name,
        num_classes=CLASSES,
        train_cfg=dict(assigner=dict(assigner, **options)),
        **HEADS[name.replace('UOT', '')],
    )
    head = MODELS.build(copy.deepcopy(config))
    if 'DINO' in name:
        head.split_outputs = lambda scores, boxes, _: (
            scores,
            boxes,
            None,
            None,
        )
    return head


def outputs(head, count, seed):
    """Scores and boxes of a layer, the boxes in the left or right half."""
    generator = torch.Generator().manual_seed(seed)
    C = head.cls_out_channels
    scores = torch.randn(LAYERS, 2, count, C, generator=generator)
    boxes = torch.rand(LAYERS, 2, count, 4, generator=generator) / 10 + 0.1
    boxes[..., 1] *= 4
    return scores, boxes


def samples(ignored=None):
    """Two images with objects on the left, `ignored` boxes in both."""
    result = []
    for count in (3, 1):
        corner = 10.0 + 20 * torch.arange(count)[:, None].expand(-1, 2)
        gts = InstanceData(
            bboxes=torch.cat((corner, corner + 40), 1),
            labels=torch.arange(count),
        )
        meta = dict(img_shape=(SIZE, SIZE), img_path='a.png')
        sample = DetDataSample(metainfo=meta, gt_instances=gts)
        if ignored is not None:
            sample.ignored_instances = InstanceData(
                bboxes=torch.tensor(ignored).view(-1, 4)
            )
        result.append(sample)
    return result


def losses(head, decoder, data_samples):
    """What a detector asks of its head, and the gradients by its outputs."""
    leaves = [x.clone().requires_grad_() for x in decoder]
    head.forward = lambda *args: tuple(leaves)
    arguments = dict(hidden_states=None, batch_data_samples=data_samples)
    if type(head).__name__.replace('UOT', '') != 'DETRHead':
        arguments['references'] = None
    if hasattr(head, 'as_two_stage'):
        arguments['enc_outputs_class'] = leaves[0][0]
        arguments['enc_outputs_coord'] = leaves[1][0]
    if 'DINO' in type(head).__name__:
        arguments['dn_meta'] = {}
    values = head.loss(**arguments)
    return values, torch.autograd.grad(sum(values.values()), leaves)


def on_both_sides(head):
    """Predictions on the left, and the same with more on the right."""
    left, right = outputs(head, 12, seed=0), outputs(head, 20, seed=1)
    right[1][..., 0] += 0.6
    both = [torch.cat(x, 2) for x in zip(left, right)]
    return left, both


RIGHT_HALF = [[100.0, 0, 200, 200]]


@pytest.mark.parametrize('assigner', [EXACT, SOFT], ids=['exact', 'soft'])
def test_predictions_in_ignored_boxes_are_as_if_absent(name, assigner):
    head = build('UOT' + name, assigner, ignore_iof_thr=0.5)
    left, both = on_both_sides(head)
    expected, expected_grads = losses(head, left, samples())
    values, grads = losses(head, both, samples(RIGHT_HALF))
    assert list(values) == list(expected)
    torch.testing.assert_close(values, expected)
    for grad, expected_grad in zip(grads, expected_grads):
        torch.testing.assert_close(grad[:, :, :12], expected_grad)
        assert (grad[:, :, 12:] == 0).all()
    without, _ = losses(head, both, samples())
    assert all(without[key] != values[key] for key in values if 'cls' in key)


def test_images_without_ignored_boxes_are_as_before(name):
    head = build('UOT' + name, SOFT, ignore_iof_thr=0.5)
    _, both = on_both_sides(head)
    expected, expected_grads = losses(head, both, samples())
    for ignored in ([], [[100.0, 0, 100, 200]]):
        values, grads = losses(head, both, samples(ignored))
        assert values == expected
        assert all(map(torch.equal, grads, expected_grads))
    mixed = [samples(RIGHT_HALF)[0], samples()[1]]
    _, grads = losses(head, both, mixed)
    assert (grads[0][:, 0, 12:] == 0).all()
    assert (grads[0][:, 1, 12:] != 0).any()


@pytest.mark.parametrize('assigner', [SOFT, dict(type='HungarianAssigner')])
def test_without_the_option_ignored_boxes_change_nothing(name, assigner):
    assigner = dict(assigner, match_costs=COSTS)
    head = build('UOT' + name, assigner)
    _, both = on_both_sides(head)
    expected, _ = losses(head, both, samples())
    values, _ = losses(head, both, samples(RIGHT_HALF))
    assert values == expected


def test_a_step_leaves_nothing_behind(name):
    head = build('UOT' + name, SOFT, ignore_iof_thr=0.5)
    _, both = on_both_sides(head)
    expected, _ = losses(head, both, samples())
    crowded = samples(RIGHT_HALF)
    before = [sorted(x.metainfo) for x in crowded]
    losses(head, both, crowded)
    assert [sorted(x.metainfo) for x in crowded] == before
    values, _ = losses(head, both, samples())
    assert values == expected


def test_ignored_boxes_may_be_given_to_the_losses_directly(name):
    head = build('UOT' + name, SOFT, ignore_iof_thr=0.5)
    _, both = on_both_sides(head)
    expected, _ = losses(head, both, samples(RIGHT_HALF))
    arguments = list(both)
    if hasattr(head, 'as_two_stage'):
        arguments += [both[0][0], both[1][0]]
    crowded = samples(RIGHT_HALF)
    arguments += [
        [sample.gt_instances for sample in crowded],
        [sample.metainfo for sample in crowded],
    ]
    if 'DINO' in name:
        arguments.append({})
    ignored = [sample.ignored_instances for sample in crowded]
    values = head.loss_by_feat(*arguments, batch_gt_instances_ignore=ignored)
    assert values == expected


def test_losses_beside_predictions_honour_them():
    head = build('UOTDETRHead', SOFT, ignore_iof_thr=0.5)
    _, both = on_both_sides(head)
    expected, _ = losses(head, both, samples(RIGHT_HALF))
    head.predict_by_feat = lambda *args, **kwargs: []
    values, _ = head.loss_and_predict(None, samples(RIGHT_HALF))
    assert values == expected


def test_a_head_of_others_honours_them_too():
    class Derived(MODELS.get('ConditionalDETRHead'), UOTDETRHead):
        pass

    config = dict(SOFT, ignore_iof_thr=0.5)
    options = dict(num_classes=CLASSES, **FOCAL)
    head = Derived(train_cfg=dict(assigner=config), **options)
    left, both = on_both_sides(head)
    expected, _ = losses(head, left, samples())
    values, _ = losses(head, both, samples(RIGHT_HALF))
    torch.testing.assert_close(values, expected)
