"""What a GPU would wait for, shown without one.

The tensors are fake: they have a device, 'cuda', and no memory. Operations on
mixed devices fail, as they would there.
"""

import ctypes
import math
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from mmdet_uot.assigners import SinkhornAssigner, UOTAssigner
from mmdet_uot.heads.grid_anchors import Inside
from mmdet_uot.losses import box_pairs
from mmdet_uot.ot import (
    MatchingProblem,
    Numbers,
    TransportPlan,
    WeightedPairs,
    scale_epsilon,
    sinkhorn,
)
from mmdet_uot.ot.scaling import compiled, float64, triton

pytestmark = pytest.mark.slow

INF = math.inf
COUNTS = [(3, 0, 12), (0, 0, 0), (120, 1, 5)]

# Their results have a size or a value that the host needs.
READS = {
    '_local_scalar_dense',
    '_unique2',
    'bincount',
    'equal',
    'is_nonzero',
    'masked_select',
    'nonzero',
    'repeat_interleave',
    'unique_consecutive',
    'unique_dim',
}


class Waits(AssertionError):  # noqa: N818
    """The host would wait for the device."""


class NoWaiting(TorchDispatchMode):
    """Fails where the host would wait for the device."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function._schema.name.replace('aten::', '')
        if name in READS and on_gpu((args, kwargs)):
            raise Waits(name)
        if name in ('index', 'index_put', 'index_put_'):
            mask = (torch.bool, torch.uint8)
            if any(x is not None and x.dtype in mask for x in args[1]):
                raise Waits(f'{name} by a mask')
        if name == 'copy_':
            blocking = not (kwargs.get('non_blocking') or True in args[2:])
            devices = {args[0].device, args[1].device}
        result = function(*args, **kwargs)
        if name == '_to_copy':
            blocking = not kwargs.get('non_blocking')
            devices = {args[0].device, result.device}
        if name in ('copy_', '_to_copy') and blocking and len(devices) > 1:
            raise Waits(f'a copy between {devices}')
        return result


class Calls(TorchDispatchMode):
    """Counts the operations; views are none."""

    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.namespace == 'aten' and not function.is_view:
            self.count[function._schema.name] += 1
        return function(*args, **(kwargs or {}))


def on_gpu(arguments):
    return any(
        isinstance(leaf, torch.Tensor) and leaf.device.type == 'cuda'
        for leaf in tree_flatten(arguments)[0]
    )


class Event:
    """Of a device that never comes to an end."""

    def record(self):
        pass

    def query(self):
        return False


@pytest.fixture
def gpu(monkeypatch):
    """New tensors are fake, those on 'cuda' too, and nothing may wait."""
    monkeypatch.setattr(torch.cuda, 'Event', Event)
    monkeypatch.setattr(torch.cuda, 'device_of', lambda x: nullcontext())
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with cuda_guard(), fake, NoWaiting():
        try:
            torch.empty(0, device='cuda')
        except RuntimeError as error:
            # A build with CUDA of torch 2.1.
            if 'NVIDIA driver' not in str(error):
                raise
            pytest.skip(f'fake tensors of torch {torch.__version__}: {error}')
        yield torch.device('cuda', 0)


def cuda_guard():
    """Indexing asks for it, which a build without CUDA lacks."""
    if torch.backends.cuda.is_built():
        return nullcontext()
    return BorrowedGuard()


class BorrowedGuard:
    """Lends CUDA the device guard of the CPU, which does nothing."""

    NAME = '_ZN3c104impl26device_guard_impl_registryE'
    CPU, CUDA = 0, 1

    def __enter__(self):
        library = Path(torch.__file__).with_name('lib') / 'libc10.so'
        registry = ctypes.c_void_p * (self.CUDA + 1)
        self.registry = registry.in_dll(ctypes.CDLL(str(library)), self.NAME)
        self.registry[self.CUDA] = self.registry[self.CPU]

    def __exit__(self, *error):
        self.registry[self.CUDA] = None


def ground_truths(counts, device):
    return [
        InstanceData(
            bboxes=torch.rand(count, 4, device=device),
            labels=torch.zeros(count, dtype=torch.int64, device=device),
        )
        for count in counts
    ]


def metas(counts):
    return [
        dict(
            img_path=f'{image}.jpg',
            img_shape=(280, 300),
            pad_shape=(300, 300),
            batch_input_shape=(300, 300),
        )
        for image in range(len(counts))
    ]


class TestTheModeItself:
    @pytest.mark.parametrize(
        'wait',
        [
            lambda x: x[0].item(),
            lambda x: float(x.sum()),
            lambda x: bool((x > 0).any()),
            lambda x: x.tolist(),
            lambda x: torch.equal(x, x),
            lambda x: x.nonzero(),
            lambda x: x[x > 0],
            lambda x: x.masked_select(x > 0),
            lambda x: x.unique(),
            lambda x: torch.repeat_interleave(x.long()),
            lambda x: x.__setitem__(x > 0, x),
            lambda x: x.cpu(),
            lambda x: x.to('cpu', torch.float64),
            lambda x: torch.empty(5).copy_(x),
            lambda x: x.copy_(torch.empty(5)),
            lambda x: torch.empty(5).to(x),
            lambda x: torch.tensor([1.0, 2.0], device='cuda:0'),
            lambda x: x.new_tensor([1.0, 2.0]),
        ],
    )
    def test_what_waits_is_found(self, gpu, wait):
        x = torch.rand(5, device=gpu)
        with pytest.raises(Waits):
            wait(x)

    def test_what_does_not_wait_may_pass(self, gpu):
        x = torch.rand(5, device=gpu)
        torch.where(x > 0, x, 0.0).masked_fill_(x > 0, 1.0)
        x[2:] = 3.0
        x[torch.zeros(2, dtype=torch.int64, device=gpu)] += 1
        torch.tensor([1.0]).to(gpu, non_blocking=True)
        torch.empty(5).copy_(x, non_blocking=True)
        assert (x * torch.tensor(2.0)).device.type == 'cuda'

    def test_mixed_devices_are_found(self, gpu):
        x = torch.rand(5, device=gpu)
        with pytest.raises(RuntimeError, match='device'):
            x + torch.rand(5)
        with pytest.raises(RuntimeError, match='device'):
            torch.cat([x, torch.rand(5)])


BOX_COSTS = [
    dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
    dict(type='IoUCost', iou_mode='giou', weight=2.0),
]
OUR_COSTS = [
    dict(type='OneMinusProbCost'),
    dict(type='OneMinusIoUCost', iou_mode='giou'),
    dict(type='GaussianWassersteinCost'),
]
SSD_OPTIONS = [
    dict(),
    dict(match_costs=dict(type='GaussianWassersteinCost')),
    dict(background_cost=[(0.5, 700), (0.4, 300)]),
    dict(ignore_iof_thr=0.5),
    dict(ignore_iof_thr=0.5, ignore_wrt_candidates=False),
    dict(cost_scaling='none'),
    dict(cost_scaling='batch_max'),
    dict(bad_costs='skip'),
    dict(epsilon_rule='support'),
    dict(epsilon=1e-4),
    dict(memory_budget=1),
    dict(preset='dual_softmax'),
    dict(preset='softmax_over_predictions'),
]
DECODERS = [
    (SinkhornAssigner, [dict(type='ClassificationCost'), *BOX_COSTS], 100),
    (SinkhornAssigner, [dict(type='FocalLossCost'), *BOX_COSTS], 300),
    (UOTAssigner, OUR_COSTS, 100),
]


def check_plan(plan, shape):
    assert tuple(plan.weights.shape) == shape
    for tensor in vars(plan).values():
        assert tensor is None or tensor.device.type == 'cuda'


class TestMatching:
    @pytest.fixture(params=SSD_OPTIONS, ids=str)
    def assigner(self, request):
        return UOTAssigner(**request.param)

    @pytest.mark.parametrize('counts', COUNTS)
    def test_anchors_are_matched_without_waiting(self, assigner, counts, gpu):
        anchors = InstanceData(priors=torch.rand(1000, 4, device=gpu))
        plan = assigner.match(
            [anchors] * 3,
            ground_truths(counts, gpu),
            metas(counts),
            ground_truths((2, 0, 1), gpu),
        )
        check_plan(plan, (3, 1000, max(counts) + 1))

    @pytest.mark.parametrize('counts', COUNTS)
    def test_different_numbers_of_anchors_too(self, counts, gpu):
        preds = [
            InstanceData(priors=torch.rand(count, 4, device=gpu))
            for count in (1000, 900, 500)
        ]
        plan = UOTAssigner().match(
            preds, ground_truths(counts, gpu), metas(counts)
        )
        check_plan(plan, (3, 1000, max(counts) + 1))

    @pytest.fixture(params=DECODERS)
    def decoder(self, request):
        assigner, costs, N = request.param
        return assigner(match_costs=costs), N

    @pytest.mark.parametrize('counts', COUNTS)
    def test_layers_are_matched_without_waiting(self, decoder, counts, gpu):
        assigner, N = decoder
        plan = assigner.match_layers(
            torch.rand(6, 3, N, 21, device=gpu),
            torch.rand(6, 3, N, 4, device=gpu),
            ground_truths(counts, gpu),
            metas(counts),
        )
        check_plan(plan, (18, N, max(counts) + 1))


class Reached(Exception):  # noqa: N818
    """The pairs, where the host has to wait."""


@pytest.fixture
def stop_at_pairs(monkeypatch):
    def pairs(plan, *args):
        raise Reached

    monkeypatch.setattr(TransportPlan, 'pairs', pairs)


@pytest.fixture
def known_pairs(monkeypatch):
    """As if the host knew the pairs already."""

    def pairs(plan, *args):
        index = torch.zeros(7, dtype=torch.int64, device=plan.weights.device)
        return WeightedPairs(index, index, index, index.float())

    monkeypatch.setattr(TransportPlan, 'pairs', pairs)


DECODER_HEADS = [
    'UOTDETRHead',
    'UOTConditionalDETRHead',
    'UOTDABDETRHead',
    'UOTDeformableDETRHead',
    'UOTDINOHead',
]
SSD_HEAD = dict(
    type='UOTSSDHead',
    num_classes=4,
    in_channels=(8, 8),
    anchor_generator=dict(
        type='AnchorGenerator',
        strides=(16, 32),
        ratios=[0.5, 1.0, 2.0],
        scales=[1.0, 1.5],
    ),
    train_cfg=ConfigDict(
        assigner=dict(type='UOTAssigner'),
        sampler=dict(type='PseudoSampler'),
        smoothl1_beta=1.0,
        allowed_border=-1,
        pos_weight=-1,
        neg_pos_ratio=3,
        debug=False,
    ),
)


RTMDET_HEAD = dict(
    type='UOTRTMDetHead',
    num_classes=20,
    in_channels=8,
    with_objectness=False,
    anchor_generator=dict(
        type='MlvlPointGenerator', offset=0, strides=[8, 16]
    ),
    bbox_coder=dict(type='DistancePointBBoxCoder'),
    loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True),
    loss_bbox=dict(type='GIoULoss'),
    train_cfg=ConfigDict(
        assigner=dict(
            type='UOTAssigner', preset='dynamic_soft_label', epsilon=0.05
        ),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
)


def decoder_head(name):
    softmax = name == 'UOTDETRHead'
    cost = 'ClassificationCost' if softmax else 'FocalLossCost'
    assigner = dict(
        type='SinkhornAssigner', match_costs=[dict(type=cost), *BOX_COSTS]
    )
    config = dict(type=name, num_classes=20, train_cfg=dict(assigner=assigner))
    if not softmax:
        config['loss_cls'] = dict(type='FocalLoss')
    return MODELS.build(config)


class TestLosses:
    @pytest.fixture(params=DECODER_HEADS)
    def decoder(self, request):
        return decoder_head(request.param)

    @pytest.fixture
    def ssd(self):
        return MODELS.build(SSD_HEAD)

    @pytest.mark.parametrize('counts', COUNTS)
    def test_a_decoder_waits_for_nothing_before_its_pairs(
        self, decoder, counts, gpu, stop_at_pairs
    ):
        outputs = [
            torch.rand(6, 3, 100, size, device=gpu, requires_grad=True)
            for size in (decoder.cls_out_channels, 4)
        ]
        if hasattr(decoder, 'as_two_stage'):
            outputs += [None, None]
        arguments = [ground_truths(counts, gpu), metas(counts)]
        if isinstance(decoder, MODELS.get('DINOHead')):
            decoder.split_outputs = lambda *args: (*args[:2], None, None)
            arguments.append({})
        with pytest.raises(Reached):
            decoder.loss_by_feat(*outputs, *arguments)

    @pytest.mark.parametrize('everywhere', [True, False])
    @pytest.mark.parametrize('counts', COUNTS)
    def test_ssd_waits_for_nothing_before_its_pairs(
        self, ssd, counts, everywhere, gpu, stop_at_pairs, monkeypatch
    ):
        """Once it has its anchors, which are made for the first image."""
        shapes = ((6, 6), (3, 3))
        per_level = [6 * height * width for height, width in shapes]
        N = sum(per_level)
        anchors = torch.rand(N, 4, device=gpu)
        kept = None
        if not everywhere:
            flags = torch.ones(N, dtype=torch.bool, device=gpu)
            index = torch.arange(N, device=gpu)
            kept = Inside(flags, index, anchors, per_level)
        grid = ssd.grid_anchors
        monkeypatch.setattr(grid, 'anchors', lambda *args: anchors)
        monkeypatch.setattr(grid, 'inside', lambda *args: kept)
        scores, deltas = (
            [
                torch.rand(3, 6 * x, *shape, device=gpu, requires_grad=True)
                for shape in shapes
            ]
            for x in (ssd.cls_out_channels, 4)
        )
        with pytest.raises(Reached):
            ssd.loss_by_feat(
                scores, deltas, ground_truths(counts, gpu), metas(counts)
            )

    @pytest.mark.parametrize('counts', COUNTS)
    def test_rtmdet_waits_for_nothing_before_its_pairs(
        self, counts, gpu, stop_at_pairs, monkeypatch
    ):
        """Its preset solves by scaling; the k cheapest are chosen by pairs."""
        head = MODELS.build(RTMDET_HEAD)
        shapes = ((8, 8), (4, 4))
        points = torch.rand(80, 4, device=gpu)
        monkeypatch.setattr(head.grid_anchors, 'anchors', lambda *_: points)
        monkeypatch.setattr(head.grid_anchors, 'inside', lambda *_: None)
        scores, distances = (
            [
                torch.rand(3, channels, *shape, device=gpu, requires_grad=True)
                for shape in shapes
            ]
            for channels in (head.cls_out_channels, 4)
        )
        with pytest.raises(Reached):
            head.loss_by_feat(
                scores, distances, ground_truths(counts, gpu), metas(counts)
            )

    def test_only_the_pairs_themselves_are_waited_for(self, gpu, known_pairs):
        weights = torch.rand(3, 5000, 9, device=gpu)
        plan = TransportPlan(weights, weights.sum(2), weights.sum(1))
        assert box_pairs(plan, 0.01).mass.shape == (7,)


def make_problem(B, N, M, device='cpu', seed=0):
    """Costs from 0 to 1, some of the ground truths padding."""
    generator = torch.Generator().manual_seed(seed)
    cost = torch.rand(B, M, N, generator=generator).mT
    valid = torch.rand(B, M, generator=generator) < 0.8
    return MatchingProblem.from_padded(
        cost.to(device, non_blocking=True),
        valid.to(device, non_blocking=True),
        0.5,
        max_cost=1.0,
    )


UNBALANCED = dict(tau1=100.0, tau2=0.01)
BALANCED = dict(tau1=INF, tau2=INF)


class TestNumberOfOperations:
    @pytest.mark.parametrize('num_iters', [1, 10, 20])
    @pytest.mark.parametrize('taus', [BALANCED, UNBALANCED])
    @pytest.mark.parametrize(
        'shape', [(16, 8732, 30), (96, 100, 30), (96, 300, 30), (96, 900, 30)]
    )
    def test_at_most_six_per_iteration_and_thirty(
        self, shape, taus, num_iters, gpu
    ):
        problem = make_problem(*shape, gpu)
        epsilon = scale_epsilon(shape[1])
        with Calls() as calls:
            sinkhorn(problem, epsilon=epsilon, num_iters=num_iters, **taus)
        assert sum(calls.count.values()) <= 6 * num_iters + 30, calls.count

    @pytest.mark.parametrize('epsilon', ['a number', 'one per image'])
    @pytest.mark.parametrize('shape', [(96, 100, 30), (16, 8732, 28)])
    def test_one_launch_or_two_do_it(self, shape, epsilon, gpu):
        """Around them are some operations, and nothing to wait for."""

        class Kernel:
            launches = 0

            def __getitem__(self, grid):
                assert grid == shape[:1]
                return self.launch

            def launch(self, *args, **kwargs):
                self.launches += 1
                tensors = [x for x in args if isinstance(x, torch.Tensor)]
                assert all(x.device.type == 'cuda' for x in tensors)

        B, N, M = shape
        problem, kernel = make_problem(*shape, gpu), Kernel()
        number = torch.full((B,), 0.01, dtype=torch.float64, device=gpu)
        number = number if epsilon == 'one per image' else 0.01
        is_large = triton._is_large(problem)
        with Calls() as calls:
            plan = triton._launch(
                triton.Kernels(kernel, kernel),
                problem,
                Numbers(number),
                is_large,
            )
        check_plan(plan, (B, N, M + 1))
        assert kernel.launches == 1 + is_large
        assert sum(calls.count.values()) <= 20


@pytest.mark.skipif(
    torch.__version__ < (2, 2), reason='its compiler builds no dataclasses'
)
class TestTrace:
    @pytest.fixture(autouse=True)
    def _in_torch(self, monkeypatch):
        """What is traced is the eager solver, not the compiled one."""
        monkeypatch.setattr(compiled, 'can_read', lambda *tensors: False)

    @pytest.mark.parametrize('taus', [BALANCED, UNBALANCED])
    @pytest.mark.parametrize('shape', [(2, 873, 30), (6, 100, 30)])
    def test_the_solver_is_one_graph(self, shape, taus):
        problem = make_problem(*shape)
        options = dict(epsilon=scale_epsilon(shape[1]), num_iters=6, **taus)

        def solve(cost, pred_mass, gt_mass):
            given = MatchingProblem(cost, pred_mass, gt_mass, problem.bounds)
            return sinkhorn(given, **options)

        self.check(solve, problem, sinkhorn(problem, **options))

    @pytest.mark.parametrize('taus', [BALANCED, UNBALANCED])
    def test_so_is_that_of_gpus(self, taus):
        problem = make_problem(6, 100, 30)
        numbers = Numbers(0.02, *taus.values(), 6)

        def solve(cost, pred_mass, gt_mass):
            given = MatchingProblem(cost, pred_mass, gt_mass, problem.bounds)
            return float64.solve(given, numbers)

        self.check(solve, problem, float64.solve(problem, numbers))

    def check(self, solve, problem, eager):
        torch._dynamo.reset()
        traced = torch.compile(solve, fullgraph=True, backend='eager')
        plan = traced(problem.cost, problem.pred_mass, problem.gt_mass)
        for name, expected in vars(eager).items():
            torch.testing.assert_close(
                getattr(plan, name), expected, atol=1e-6, rtol=1e-6
            )
