"""The fused kernel: in Triton's interpreter, or on a GPU if there is one."""

import math
import os
import subprocess
import sys
import warnings
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.boxes import random_boxes

from mmdet_uot._torch_versions import triton_is_current
from mmdet_uot.inputs.overlaps import pairwise_overlaps
from mmdet_uot.ot import MatchingProblem, Numbers, TransportPlan, sinkhorn
from mmdet_uot.ot.scaling import compiled, triton

COMPILE = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

spec = spec_from_file_location('kernel', sys.argv[1])
module = module_from_spec(spec)
spec.loader.exec_module(module)
pointers = dict(
    fp64='numbers reach far_gain pred_potential gt_potential marginal_error',
    fp32='cost pred_mass gt_mass weights',
    i32='rows counts',
)
found = dict.fromkeys(('rows', 'counts', 'reach', 'far_gain'))


def build(kernel, wide, **fixed):
    rows = 64 if wide else 128
    fixed.update(WIDE=wide, ROWS=rows, COLUMNS=32, cost_row=1, weights_row=1)
    fixed = {name: x for name, x in fixed.items() if name in kernel.arg_names}
    types = dict.fromkeys(kernel.arg_names, 'i32')
    for kind, names in pointers.items():
        for name in types.keys() & {*names.split()}:
            types[name] = '*' + kind
    types.update(dict.fromkeys(fixed, 'constexpr'))
    source = ASTSource(kernel, types, fixed)
    options = dict(num_warps=rows // 8)
    built = compile(source, GPUTarget('cuda', 80, 32), options)
    assert built.asm['cubin']


for wide in (False, True):
    build(module.find_rows, wide)
    build(module.solve_images, wide, SPARSE=True)
    build(module.solve_images, wide, SPARSE=False, **found)
"""
KERNEL_FILE = Path(triton.__file__).with_name('_triton_kernel.py')
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
if DEVICE == 'cpu':
    # Triton reads this when it is first imported, which the tests do.
    os.environ['TRITON_INTERPRET'] = '1'

INF = math.inf
TAUS = (0.0, 1e-3, 0.01, 1.0, 100.0, INF)
SSD = dict(epsilon=0.0112, tau1=100.0, tau2=0.01)
BALANCED = dict(epsilon=0.0189, tau1=INF, tau2=INF)
SOFT = dict(epsilon=0.0112, tau1=1.0, tau2=1.0)
# No predictions, no objects, more objects than predictions, several blocks.
SHAPES = ((0, 2), (1, 0), (3, 9), (7, 7), (40, 6))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not triton_is_current(), reason='the kernel needs Triton 3'
    ),
    pytest.mark.filterwarnings('ignore:overflow:RuntimeWarning'),
]


@pytest.fixture(scope='module', autouse=True)
def _in_torch():
    """What is compared with is the eager solver, not the compiled one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, 'can_read', lambda *tensors: False)
        yield


def to(problem, *target):
    """The problem on another device or in another dtype."""
    tensors = (problem.cost, problem.pred_mass, problem.gt_mass)
    moved = (tensor.to(*target) for tensor in tensors)
    return MatchingProblem(*moved, problem.bounds)


def solve_fused(
    problem, *, is_sparse=False, epsilon, tau1=INF, tau2=INF, num_iters=20
):
    numbers = Numbers(epsilon, tau1, tau2, num_iters)
    kernels = triton._kernels()
    return triton._launch(kernels, to(problem, DEVICE), numbers, is_sparse)


def close(actual, expected):
    """To 1e-5 absolutely, and relatively beyond 1."""
    actual, expected = actual.cpu().double(), expected.double()
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def check(problem, **options):
    """Everything that a plan holds is that of the eager solver."""
    plan = solve_fused(problem, **options)
    options.pop('is_sparse', None)
    eager = sinkhorn(problem, **options)
    assert not plan.weights[problem.padding.to(DEVICE)].any()
    assert plan.gt_range is eager.gt_range is None
    names = [x.name for x in fields(TransportPlan) if x.name != 'gt_range']
    for name in names:
        actual, expected = getattr(plan, name), getattr(eager, name)
        assert actual.dtype == expected.dtype
        assert actual.stride() == expected.stride()
    close(plan.weights, eager.weights)
    # In float32 the eager marginal error is rounded by more than that.
    exact = sinkhorn(to(problem, torch.float64), **options)
    for name in names:
        close(getattr(plan, name), getattr(exact, name))


@pytest.fixture
def small_blocks(monkeypatch):
    """Sixteen predictions at a time, or fewer if there are many columns."""
    tile = dict.fromkeys((torch.float32, torch.float64), 256)
    monkeypatch.setattr(triton, '_TILE', tile)


@pytest.fixture
def make_problem(cost_families):
    """A batch of several shapes; bounded costs have float32 exponents."""

    def make(family, bounded, shapes=SHAPES, seed=0):
        costs = [cost_families(*shape, seed)[family] for shape in shapes]
        problem = MatchingProblem.from_costs(costs, 0.5)
        if not bounded:
            return problem
        cost = problem.cost / problem.cost.abs().amax()
        return MatchingProblem.from_padded(
            cost[..., :-1],
            (torch.arange(cost.shape[2] - 1) < torch.tensor(shapes)[:, 1:]),
            cost[..., -1],
            torch.arange(cost.shape[1]) < torch.tensor(shapes)[:, :1],
            max_cost=1.0,
        )

    return make


@pytest.fixture
def make_anchors():
    """Costs 1 - IoU of anchors, as many as given, with ground truths."""

    def make(num_preds, counts):
        generator = torch.Generator().manual_seed(0)
        boxes = random_boxes(num_preds, generator, corner=200, side=(5, 30))
        costs = []
        for count in counts:
            gts = boxes[:count] + 2 * torch.rand(count, 4, generator=generator)
            costs.append(1 - pairwise_overlaps(boxes, gts))
        return MatchingProblem.from_costs(costs, 0.5)

    return make


class TestEqualToTheEagerSolver:
    @pytest.mark.parametrize('tau1', TAUS)
    @pytest.mark.parametrize('tau2', TAUS)
    @pytest.mark.parametrize('is_sparse', [False, True])
    def test_all_mass_constraints(self, is_sparse, tau1, tau2, make_problem):
        case = TAUS.index(tau1) + TAUS.index(tau2)
        family = ('uniform', 'geometric', 'iou', 'equal')[case % 4]
        problem = make_problem(family, bounded=case % 2 == 0, seed=case)
        epsilon = (0.0112, 0.1)[case % 3 > 0]
        taus = dict(tau1=tau1, tau2=tau2)
        check(
            problem, is_sparse=is_sparse, epsilon=epsilon, num_iters=4, **taus
        )

    @pytest.mark.parametrize('bounded', [True, False])
    @pytest.mark.parametrize('options', [SSD, BALANCED, SOFT])
    @pytest.mark.parametrize('num_iters', [1, 2, 12])
    @pytest.mark.parametrize('is_sparse', [False, True])
    def test_every_number_of_iterations_in_blocks(
        self,
        is_sparse,
        num_iters,
        options,
        bounded,
        make_problem,
        small_blocks,
    ):
        shapes = ((40, 6), (13, 3))
        problem = make_problem('iou', bounded, shapes)
        check(problem, is_sparse=is_sparse, num_iters=num_iters, **options)

    @pytest.mark.parametrize('options', [SSD, BALANCED])
    @pytest.mark.parametrize('shape', [(100, 30), (37, 60), (300, 15)])
    def test_sizes_of_detectors(self, shape, options, make_problem):
        check(make_problem('uniform', True, [shape]), **options)

    @pytest.mark.parametrize('options', [SSD, BALANCED, SOFT])
    @pytest.mark.parametrize('family', ['detr', 'contested', 'unequal'])
    @pytest.mark.parametrize('is_sparse', [False, True])
    def test_hard_costs_against_the_oracle(
        self, is_sparse, family, options, make_problem, scaling_algorithm
    ):
        """Exponents of some hundreds, where the eager one has a floor."""
        problem = make_problem(family, False, ((40, 7), (3, 9)))
        plan = solve_fused(
            problem, is_sparse=is_sparse, num_iters=10, **options
        )
        oracle = scaling_algorithm(problem, **options, num_iters=10)
        close(plan.weights, oracle)
        f, g = plan.pred_potential.cpu(), plan.gt_potential.cpu()
        log_plan = (f[:, :, None] + g[:, None] - problem.cost.double()) / (
            options['epsilon']
        )
        N = problem.num_preds.view(-1, 1, 1)
        close(N * log_plan.exp(), oracle)

    @pytest.mark.parametrize('tau1, tau2', [(INF, INF), (1.0, 0.5), (0, INF)])
    def test_one_epsilon_per_image(self, tau1, tau2, make_problem):
        problem = make_problem('geometric', True, ((5, 3), (7, 7), (9, 2)))
        epsilon = torch.tensor([1e-3, 0.05, 1.0], dtype=torch.float64)
        check(problem, epsilon=epsilon, tau1=tau1, tau2=tau2, num_iters=10)

    @pytest.mark.parametrize('tau1, tau2', [(INF, INF), (1.0, 0.5), (INF, 0)])
    @pytest.mark.parametrize('is_sparse', [False, True])
    def test_masses_of_any_size(self, is_sparse, tau1, tau2, make_problem):
        cost = make_problem('uniform', True, [(12, 5)] * 3).cost
        generator = torch.Generator().manual_seed(0)
        a = torch.rand(cost.shape[:2], generator=generator) + 0.01
        b = torch.rand(cost[:, 0].shape, generator=generator) + 0.01
        a[:, ::5] = b[:, 1] = b[0, -1] = 0.0
        a, b = (mass / mass.sum(1, keepdim=True) for mass in (a, b))
        problem = MatchingProblem(cost, a, b)
        taus = dict(tau1=tau1, tau2=tau2)
        check(problem, is_sparse=is_sparse, epsilon=0.1, num_iters=8, **taus)


class TestRowsThatMatter:
    """Two launches: the first finds the rows that the iterations visit."""

    @pytest.fixture
    def found(self, monkeypatch):
        """The rows found per image, and how often a cost was read again."""
        kernels, counts = triton._kernels(), []

        class Finder:
            def __getitem__(self, grid):
                return self.launch

            def launch(self, *args, **kwargs):
                kernels.find_rows[(len(args[0]),)](*args, **kwargs)
                counts.extend(args[5].tolist())

        monkeypatch.setattr(
            triton, '_kernels', lambda: kernels._replace(find_rows=Finder())
        )
        return counts

    @pytest.mark.parametrize('options', [SSD, SOFT], ids=['ssd', 'soft'])
    def test_few_of_anchors_do(
        self, options, found, make_anchors, scaling_algorithm
    ):
        problem = make_anchors(600, (6, 0, 3))
        plan = solve_fused(problem, is_sparse=True, **options)
        oracle = scaling_algorithm(problem, **options, num_iters=20)
        close(plan.weights, oracle)
        assert found[1] == 0
        assert 6 <= found[0] < 300 and 3 <= found[2] < 300

    def test_all_do_where_a_ground_truth_asks_for_more_than_they_have(
        self, found, scaling_algorithm
    ):
        """Rows that were left out send mass in the end."""
        cost = torch.full((500, 1), 2.0)
        cost[7] = 0.1
        problem = MatchingProblem.from_costs([cost], 0.5)
        problem.gt_mass[0] = torch.tensor([5 / 500, 495 / 500])
        plan = solve_fused(problem, is_sparse=True, epsilon=0.02)
        assert found == [1]
        oracle = scaling_algorithm(problem, 0.02, INF, INF, 20)
        close(plan.weights, oracle)
        assert oracle[0, :, 0].sum() > 4

    def test_the_plan_may_take_the_memory_of_the_cost(self, make_anchors):
        problem = to(make_anchors(300, (6, 2)), DEVICE)
        numbers = Numbers(*SSD.values())
        kernels = triton._kernels()
        expected = triton._launch(kernels, problem, numbers, True, False)
        plan = triton._launch(kernels, problem, numbers, True, True)
        assert plan.weights.data_ptr() == problem.cost.data_ptr()
        assert torch.equal(plan.weights, expected.weights)
        assert torch.equal(plan.pred_potential, expected.pred_potential)


class TestMemory:
    @pytest.mark.parametrize('bounded', [True, False])
    def test_padding_is_not_read(self, bounded, make_problem, small_blocks):
        problem = make_problem('uniform', bounded, ((40, 0), (13, 9)))
        clean = solve_fused(problem, **SSD, num_iters=3)
        problem.cost[problem.padding] = math.nan
        dirty = solve_fused(problem, **SSD, num_iters=3)
        assert torch.equal(dirty.weights, clean.weights)
        assert torch.equal(dirty.marginal_error, clean.marginal_error)

    def test_any_layout_of_the_cost(self, make_problem, small_blocks):
        problem = make_problem('uniform', True, ((40, 6), (13, 3)))
        expected = solve_fused(problem, **SSD, num_iters=3).weights
        B, N, columns = problem.cost.shape
        larger = torch.full((B, 2 * N, 3 * columns), math.nan)
        larger[:, ::2, ::3] = problem.cost
        for cost in (problem.cost.contiguous(), larger[:, ::2, ::3]):
            other = MatchingProblem(
                cost, problem.pred_mass, problem.gt_mass, problem.bounds
            )
            plan = solve_fused(other, **SSD, num_iters=3)
            torch.testing.assert_close(plan.weights, expected)


class TestChoice:
    @pytest.fixture
    def problem(self, make_problem):
        return make_problem('uniform', True, ((9, 3),))

    @pytest.fixture
    def on_gpu(self, monkeypatch):
        """The CPU's tensors, in the interpreter, count as a GPU's."""
        monkeypatch.setattr(triton, '_failures', [])
        monkeypatch.setattr(triton, '_fits', lambda cost: True)
        monkeypatch.setattr(
            torch.cuda, 'is_current_stream_capturing', lambda: True
        )

    def test_a_gpu_is_given_the_fused_kernel(
        self, problem, on_gpu, monkeypatch
    ):
        launches = []

        def launch(*args):
            launches.append(args)
            return plan

        plan = solve_fused(problem, **SSD)
        monkeypatch.setattr(triton, '_launch', launch)
        assert sinkhorn(problem, **SSD) is plan
        ((kernels, given, numbers, *flags),) = launches
        assert kernels is triton._kernels() and given is problem
        assert numbers == Numbers(0.0112, 100.0, 0.01, 20)
        assert flags == [False, False]

    def test_what_does_not_fit_is_left_to_the_eager_solver(self, problem):
        fits = triton._fits
        assert not fits(problem.cost.to('cpu'))
        assert not fits(problem.cost.to('meta'))
        with torch._subclasses.FakeTensorMode():
            cost = torch.empty(2, 100, 31, device='cuda')
            assert cost.device.type == 'cuda' and not fits(cost)

    @pytest.mark.parametrize(
        'num_preds, columns, is_large',
        [
            (100, 31, False),
            (300, 31, False),
            (900, 31, False),
            (900, 128, False),
            (900, 201, True),
            (8732, 1, True),
            (8732, 31, True),
        ],
    )
    def test_one_launch_is_for_decoders(self, num_preds, columns, is_large):
        cost = torch.empty(2, num_preds, columns, device='meta')
        problem = SimpleNamespace(cost=cost)
        assert triton._is_large(problem) == is_large

    @pytest.mark.parametrize(
        'found', [None, SimpleNamespace(__version__='2.1.0')], ids=str
    )
    def test_without_triton_3_the_eager_solver_is_used(
        self, found, problem, on_gpu, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, 'triton', found)
        triton._kernels.cache_clear()
        try:
            assert triton._kernels() is None
            assert not triton.accepts(problem, Numbers(0.1))
            assert sinkhorn(problem, **SSD).weights.isfinite().all()
        finally:
            triton._kernels.cache_clear()

    def test_a_kernel_that_fails_is_reported_once_and_replaced(
        self, problem, on_gpu, monkeypatch
    ):
        class Broken:
            tries = 0

            def __getitem__(self, grid):
                self.tries += 1
                raise RuntimeError('no C compiler')

        broken = Broken()
        kernels = triton.Kernels(broken, broken)
        monkeypatch.setattr(triton, '_kernels', lambda: kernels)
        with pytest.warns(UserWarning, match='no C compiler'):
            first = sinkhorn(problem, **SSD)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            second = sinkhorn(problem, **SSD)
        assert broken.tries == 1
        monkeypatch.undo()
        eager = sinkhorn(problem, **SSD)
        assert torch.equal(first.weights, eager.weights)
        assert torch.equal(second.weights, eager.weights)

    def test_a_kernel_that_is_wrong_is_replaced(
        self, problem, on_gpu, monkeypatch
    ):
        right = triton._launch

        def launch(*args):
            plan = right(*args)
            plan.weights[0, 0, 0] += 1
            return plan

        monkeypatch.setattr(triton, '_launch', launch)
        monkeypatch.setattr(triton, '_waiting', nullcontext)
        monkeypatch.setattr(
            torch.cuda, 'is_current_stream_capturing', lambda: False
        )
        triton._check.cache_clear()
        with pytest.warns(UserWarning, match='off for a small problem'):
            plan = sinkhorn(problem, **SSD)
        monkeypatch.undo()
        assert torch.equal(plan.weights, sinkhorn(problem, **SSD).weights)

    def test_the_kernels_agree_with_torch(self, monkeypatch):
        if DEVICE == 'cpu':
            monkeypatch.setattr(triton, '_waiting', nullcontext)
        triton._check.cache_clear()
        triton._check(triton._kernels(), torch.device(DEVICE))

    def test_the_kernels_compile_for_gpus(self, tmp_path):
        """Its types fit, which the interpreter does not check."""
        run = subprocess.run(
            [sys.executable, '-c', COMPILE, KERNEL_FILE],
            env=os.environ
            | dict(TRITON_INTERPRET='0', TRITON_CACHE_DIR=str(tmp_path)),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert run.returncode == 0, run.stderr
