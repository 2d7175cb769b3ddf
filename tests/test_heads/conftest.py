import pytest
import torch
from helpers.boxes import random_boxes
from helpers.heads import HEAD, NUM_CLASSES, SIZE, STRIDES
from helpers.log import log  # noqa: F401
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

SHAPES = [(SIZE // stride,) * 2 for stride in STRIDES]
NUM_ANCHORS = 6 * (6 * 6 + 3 * 3)

IOU = dict(type='OneMinusIoUCost')
MAX_IOU = dict(
    type='MaxIoUAssigner',
    pos_iou_thr=0.5,
    neg_iou_thr=0.5,
    min_pos_iou=0.0,
    gt_max_assign_all=False,
)
HARD = {
    'two stages': MAX_IOU,
    'two stages as a preset': dict(type='UOTAssigner', preset='ssd_two_stage'),
    'closest': dict(type='UOTAssigner', epsilon=0, tau1='inf', tau2=0),
    'hungarian': dict(type='SinkhornAssigner', match_costs=IOU, epsilon=0),
}
SOFT = {
    'unbalanced': dict(type='UOTAssigner'),
    'balanced': dict(type='SinkhornAssigner', match_costs=IOU),
    'predictions': dict(type='UOTAssigner', epsilon=0, tau1=0, tau2='inf'),
}


def train_cfg(assigner, **options):
    defaults = dict(
        sampler=dict(type='PseudoSampler'),
        smoothl1_beta=1.0,
        allowed_border=-1,
        pos_weight=-1,
        neg_pos_ratio=3,
        debug=False,
    )
    return ConfigDict(assigner=assigner, **{**defaults, **options})


TEST_CFG = ConfigDict(
    nms_pre=100,
    nms=dict(type='nms', iou_threshold=0.45),
    min_bbox_size=0,
    score_thr=0.02,
    max_per_img=20,
)


class Scene:
    """A batch of images: ground truths, ignored boxes and padding."""

    def __init__(self, num_gts, num_ignored=0, pad=()):
        generator = torch.Generator().manual_seed(3)

        def rand(*shape):
            return torch.rand(shape, generator=generator)

        def boxes(count):
            return random_boxes(count, generator, corner=60, side=(8, 44))

        self.gts = [
            InstanceData(
                bboxes=boxes(count),
                labels=(rand(count) * NUM_CLASSES).long(),
            )
            for count in num_gts
        ]
        self.ignore = None
        if num_ignored:
            self.ignore = [InstanceData(bboxes=boxes(2)) for _ in num_gts]
            self.ignore[-1] = InstanceData(bboxes=boxes(0))
        pad = pad or [(SIZE, SIZE)] * len(num_gts)
        self.metas = [
            dict(
                img_shape=(shape[0] - 4, shape[1] - 8),
                pad_shape=shape,
                batch_input_shape=(SIZE, SIZE),
                scale_factor=(1.0, 1.0),
            )
            for shape in pad
        ]
        self.scores = [
            4 * rand(len(num_gts), 6 * (NUM_CLASSES + 1), *shape) - 2
            for shape in SHAPES
        ]
        self.deltas = [
            2 * rand(len(num_gts), 24, *shape) - 1 for shape in SHAPES
        ]

    def losses(self, head):
        """Losses, and their gradients by class scores and box deltas."""
        scores = [x[:, : 6 * head.cls_out_channels] for x in self.scores]
        leaves = [x.clone().requires_grad_() for x in (*scores, *self.deltas)]
        values = head.loss_by_feat(
            leaves[:2], leaves[2:], self.gts, self.metas, self.ignore
        )
        class_losses, box_losses = values.values()
        total = sum(class_losses).sum() + 2 * sum(box_losses)
        return values, torch.autograd.grad(total, leaves)


SCENES = {
    'many': dict(num_gts=[5, 3, 9]),
    'one': dict(num_gts=[1]),
    'none': dict(num_gts=[0]),
    'all empty': dict(num_gts=[0, 0, 0]),
    'some empty': dict(num_gts=[0, 4, 0, 1]),
    'padded': dict(
        num_gts=[3, 5, 0, 2],
        pad=[(64, 96), (96, 48), (32, 32), (96, 96)],
    ),
    'ignored': dict(num_gts=[3, 1, 5], num_ignored=2),
    'crowded': dict(num_gts=[80, 2]),
    'more objects than anchors': dict(num_gts=[NUM_ANCHORS + 30, 1]),
}


@pytest.fixture(params=SCENES)
def scene(request):
    return Scene(**SCENES[request.param])


@pytest.fixture
def make_scene():
    return Scene


@pytest.fixture(params=HARD)
def hard(request):
    """Config of an assigner whose plans have zeros and ones."""
    return HARD[request.param]


@pytest.fixture(params=SOFT)
def soft(request):
    """Config of an assigner of other plans."""
    return SOFT[request.param]


@pytest.fixture(params=[*HARD, *SOFT])
def assigner(request):
    """Config of any assigner."""
    return {**HARD, **SOFT}[request.param]


@pytest.fixture
def config():
    """Arguments of a small SSD head, `options` of its train_cfg."""

    def make(assigner, **options):
        return dict(
            HEAD, train_cfg=train_cfg(assigner, **options), test_cfg=TEST_CFG
        )

    return make
