"""Heads in two processes under DDP; as a script, this file is one of them."""

import copy
import subprocess
import sys
from datetime import timedelta
from itertools import product

import pytest
import torch
import torch.distributed as dist
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

import mmdet_uot  # noqa: F401  registers the heads

pytestmark = pytest.mark.slow

LAYERS, SIDE, CHANNELS = 3, 6, 8
BOX_COSTS = [
    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
    dict(type='IoUCost', iou_mode='giou', weight=2.0),
]
SOFTMAX = dict(match_costs=[dict(type='ClassificationCost'), *BOX_COSTS])
SIGMOID = dict(match_costs=[dict(type='FocalLossCost'), *BOX_COSTS])
ANCHORS = dict(
    type='AnchorGenerator', strides=[16], ratios=[0.5, 1, 2], scales=[1, 2]
)
DETR = dict(
    type='DETRHead',
    embed_dims=CHANNELS,
    loss_cls=dict(
        type='CrossEntropyLoss', class_weight=1.0, bg_cls_weight=0.1
    ),
)
DEFORMABLE_DETR = dict(
    type='DeformableDETRHead',
    embed_dims=CHANNELS,
    loss_cls=dict(type='FocalLoss', use_sigmoid=True),
    as_two_stage=True,
    num_pred_layer=LAYERS + 1,
)
SYNC = dict(sync_cls_avg_factor=True)
# Each stock head, its assigner, and one of soft plans.
HEADS = {
    'SSD': (
        dict(
            type='SSDHead', in_channels=(CHANNELS,), anchor_generator=ANCHORS
        ),
        dict(type='MaxIoUAssigner', pos_iou_thr=0.4, neg_iou_thr=0.4),
        dict(type='UOTAssigner'),
    ),
    'DETR': (
        DETR,
        dict(type='HungarianAssigner', **SOFTMAX),
        dict(type='SinkhornAssigner', epsilon0=2.0, **SOFTMAX),
    ),
    'Deformable DETR': (
        DEFORMABLE_DETR,
        dict(type='HungarianAssigner', **SIGMOID),
        dict(type='SinkhornAssigner', epsilon0=2.0, **SIGMOID),
    ),
}
SYNCED = {
    f'{name}, synced': ({**HEADS[name][0], **SYNC}, *HEADS[name][1:])
    for name in ('DETR', 'Deformable DETR')
}
HEADS.update(SYNCED)
# Objects in the images of each of two processes.
SHARES = {
    'uneven': ((3, 9), (1, 0)),
    'one without objects': ((4, 2), (0, 0)),
    'none with objects': ((0, 0), (0, 0)),
}
KINDS = ('soft', 'hard', 'stock')


class Losses(BaseModel):
    """The sum of the losses of a small head.

    Args:
        name (str): One of ``HEADS``.
        kind (str): Our head on soft or on hard plans, or the stock head.
    """

    def __init__(self, name, kind):
        super().__init__()
        head, hard, soft = copy.deepcopy(HEADS[name])  # mmdet changes them
        train_cfg = dict(assigner=soft if kind == 'soft' else hard)
        if name == 'SSD':
            train_cfg.update(
                sampler=dict(type='PseudoSampler'),
                smoothl1_beta=1.0,
                allowed_border=-1,
                pos_weight=-1,
                neg_pos_ratio=3,
            )
        if kind != 'stock':
            head = dict(head, type='UOT' + head['type'])
        torch.manual_seed(0)
        self.head = MODELS.build(
            dict(head, num_classes=5, train_cfg=ConfigDict(train_cfg))
        )

    def forward(self, images):
        """The losses of images, given as pairs of a seed and a count."""
        features, gts = zip(*(image(*pair) for pair in images))
        hidden = torch.stack(features, 1)
        memory = hidden[0]
        if hasattr(self.head, 'prior_generator'):
            outputs = self.head([memory.mT.unflatten(2, (SIDE, SIDE))])
        elif hasattr(self.head, 'cls_branches'):
            centers = torch.full((*memory.shape[:2], 2), 0.5)
            outputs = (
                *self.head(hidden, [centers] * LAYERS),
                self.head.cls_branches[LAYERS](memory),
                self.head.reg_branches[LAYERS](memory).sigmoid(),
            )
        else:
            outputs = self.head(hidden)
        size = 16 * SIDE, 16 * SIDE
        metas = [dict(img_shape=size, pad_shape=size)] * len(images)
        losses = self.head.loss_by_feat(*outputs, gts, metas)
        return self.parse_losses(losses)[0]


def image(seed, count):
    """Features (LAYERS, SIDE * SIDE, CHANNELS) and objects of an image."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(shape, generator=generator)

    corner = rand(count, 2) * 50
    gts = InstanceData(
        bboxes=torch.cat((corner, corner + 12 + rand(count, 2) * 34), 1),
        labels=(rand(count) * 5).long(),
    )
    return rand(LAYERS, SIDE**2, CHANNELS) * 4 - 2, gts


def images(share):
    """Of each process, seeds and counts."""
    first, second = SHARES[share]
    return list(enumerate(first)), list(enumerate(second, len(first)))


def gradients(model, images):
    model(images).backward()
    return {
        name.replace('module.', ''): parameter.grad
        for name, parameter in model.named_parameters()
    }


def main(rank, folder):
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/store',
        rank=rank,
        world_size=2,
        timeout=timedelta(minutes=5),
    )
    results = {}
    for name, kind, share in product(HEADS, KINDS, SHARES):
        model = DistributedDataParallel(Losses(name, kind))
        results[name, kind, share] = gradients(model, images(share)[rank])
    torch.save(results, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def reduced(tmp_path_factory):
    """Gradients of all cases, as DDP gives them to both processes."""
    folder = tmp_path_factory.mktemp('processes')
    processes = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(folder)])
        for rank in range(2)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    first, second = (torch.load(folder / f'{rank}.pt') for rank in range(2))
    assert_close(first, second)
    return first


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('share', ['uneven', 'one without objects'])
@pytest.mark.parametrize('name', SYNCED)
def test_detr_as_one_process_on_the_joint_batch(name, share, reduced):
    joint = sum(images(share), [])
    assert_close(
        reduced[name, 'soft', share], gradients(Losses(name, 'soft'), joint)
    )


@pytest.mark.parametrize('share', SHARES)
def test_ssd_as_the_mean_of_single_processes(share, reduced):
    """SSD averages over the objects of a process, in mmdet too."""
    first, second = (
        gradients(Losses('SSD', 'soft'), own) for own in images(share)
    )
    mean = {name: (first[name] + second[name]) / 2 for name in first}
    assert_close(reduced['SSD', 'soft', share], mean)


@pytest.mark.parametrize('share', SHARES)
@pytest.mark.parametrize('name', HEADS)
def test_hard_plans_as_the_stock_head(name, share, reduced):
    assert_close(reduced[name, 'hard', share], reduced[name, 'stock', share])


class Collectives(TorchDispatchMode):
    """Records the collectives that are called, with the shapes they take."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == 'c10d':
            shapes = [tensor.shape for tensor in args[0]]
            self.calls.append((func.name(), shapes))
        return func(*args, **(kwargs or {}))


@pytest.fixture
def process_group():
    dist.init_process_group(
        'gloo', store=dist.HashStore(), rank=0, world_size=1
    )
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize('kind', ['soft', 'hard'])
@pytest.mark.parametrize('name', HEADS)
def test_no_process_leaves_out_a_collective(name, kind, process_group):
    def collectives(*counts):
        with Collectives() as collectives:
            Losses(name, kind)(list(enumerate(counts)))
        return collectives.calls

    expected = collectives(3, 5)
    assert bool(expected) == (name != 'SSD')
    for counts in ((0, 0), (0, 4), (1,)):
        assert collectives(*counts) == expected


if __name__ == '__main__':
    main(int(sys.argv[1]), sys.argv[2])
