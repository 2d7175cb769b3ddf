"""Who solves a task: a table to add a row to.

A solver's ``prepare`` brings a task into the form that the solver wants and
returns the call that is timed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Callable

import torch
from scipy.optimize import linear_sum_assignment

from mmdet_uot.ot import hungarian, sinkhorn

from .algorithm import RELAXATION, scaling_algorithm
from .task import Task

__all__ = ['HUNGARIAN', 'OURS', 'SOLVERS', 'Call', 'Solver', 'calls']

Call = Callable[[], object]

OURS = 'mmdet_uot.ot.sinkhorn'
HUNGARIAN = 'SciPy linear_sum_assignment, by image'


@dataclass(frozen=True)
class Solver:
    """One competitor.

    Args:
        prepare (Callable): Takes a task, returns the call to time.
        package (str): What has to be installed. Defaults to torch.
        balanced_only (bool): Whether it lacks two weights tau1 and tau2.
            Defaults to False.
    """

    prepare: Callable[[Task], Call]
    package: str = 'torch'
    balanced_only: bool = False

    def can_solve(self, task: Task) -> bool:
        """Whether it is installed and has the task's numbers."""
        fits = task.balanced or not self.balanced_only
        return fits and find_spec(self.package) is not None


def _ours(task: Task) -> Call:
    return partial(sinkhorn, task.problem, **task.numbers)


def _relaxed(task: Task) -> Call:
    numbers = dict(task.numbers, relaxation=RELAXATION)
    return partial(sinkhorn, task.problem, **numbers)


def _as_printed(task: Task) -> Call:
    cost = task.problem.cost.contiguous()
    problem = replace(task.problem, cost=cost)
    return partial(scaling_algorithm, replace(task, problem=problem))


def _kernel_passes(task: Task) -> Call:
    """What an iteration cannot do without: two reads of the kernel.

    A read is ``torch.bmm(v[:, None], K)``, a row vector times the float32
    kernel (B, M + 1, N), which is contiguous along N.
    """
    K = torch.rand_like(task.problem.cost.mT, dtype=torch.float32).contiguous()
    v = K.new_ones((len(K), 1, K.shape[1]))

    def run() -> None:
        for _ in range(2 * task.num_iters):
            torch.bmm(v, K)

    return run


def _scipy(task: Task) -> Call:
    """Float32 costs of the live pairs, already on the host."""
    costs = [
        cost[:, :-1].contiguous().cpu().numpy() for cost, *_ in task.images()
    ]
    return lambda: [linear_sum_assignment(cost) for cost in costs]


def _tall(task: Task) -> list:
    """Float32 costs (n, N) of the live pairs, as lapx and lapcpp want them."""
    return [
        cost[:, :-1].mT.contiguous().cpu().numpy()
        for cost, *_ in task.images()
    ]


def _lapx(task: Task) -> Call:
    from lap import lapjvr

    costs = _tall(task)
    return lambda: [lapjvr(cost, extend_cost=True) for cost in costs]


def _lapcpp(task: Task) -> Call:
    from lapcpp import lapjv

    costs = _tall(task)
    return lambda: [lapjv(cost, extend_cost=True) for cost in costs]


def _exact_corner(task: Task) -> Call:
    return partial(hungarian, task.problem)


def _pot(task: Task) -> Call:
    import ot

    solve = partial(ot.sinkhorn, warn=False)
    if not task.balanced:
        solve = partial(
            ot.unbalanced.sinkhorn_unbalanced,
            reg_m=(task.tau1, task.tau2),
            reg_type='entropy',
        )
    images = [(a, b, cost) for cost, a, b in task.images()]
    options = dict(reg=task.epsilon, numItermax=task.num_iters, stopThr=0.0)

    def run() -> list:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return [solve(*image, **options) for image in images]

    return run


def _torch_linear_assignment(task: Task) -> Call:
    from torch_linear_assignment import batch_linear_assignment

    cost = task.problem.cost[..., :-1].mT.contiguous()
    return partial(batch_linear_assignment, cost)


def _geomloss(task: Task) -> Call:
    """Anneals epsilon over the iterations."""
    from geomloss import ot

    problem = task.problem
    cost = problem.cost.contiguous()
    options = dict(a=problem.pred_mass, b=problem.gt_mass, reg=task.epsilon)
    return lambda: (
        ot.solve_batch(cost, **options, max_iter=task.num_iters).plan
    )


def _ott(task: Task) -> Call:
    import jax
    from ott.geometry.geometry import Geometry
    from ott.solvers import linear

    tau_a, tau_b = (
        1.0 if math.isinf(tau) else tau / (tau + task.epsilon)
        for tau in (task.tau1, task.tau2)
    )

    @jax.jit
    @jax.vmap
    def solve(cost, a, b):
        return linear.solve(
            Geometry(cost_matrix=cost, epsilon=task.epsilon),
            a,
            b,
            tau_a=tau_a,
            tau_b=tau_b,
            threshold=-1.0,
            min_iterations=task.num_iters,
            max_iterations=task.num_iters,
        ).matrix

    problem = task.problem
    arrays = [
        jax.numpy.asarray(tensor.cpu().numpy())
        for tensor in (problem.cost, problem.pred_mass, problem.gt_mass)
    ]
    return lambda: jax.block_until_ready(solve(*arrays))


SOLVERS: dict[str, Solver] = {
    OURS: Solver(_ours),
    f'{OURS}, relaxation {RELAXATION:g}': Solver(_relaxed),
    'Algorithm 1/2 as printed, in torch': Solver(_as_printed),
    'reads of the kernel alone (bound)': Solver(_kernel_passes),
    HUNGARIAN: Solver(_scipy, 'scipy'),
    'lapx, by image': Solver(_lapx, 'lap'),
    'lapcpp, by image': Solver(_lapcpp, 'lapcpp'),
    'mmdet_uot.ot.hungarian': Solver(_exact_corner),
    'POT, by image': Solver(_pot, 'ot'),
    'torch_linear_assignment': Solver(
        _torch_linear_assignment, 'torch_linear_assignment'
    ),
    'GeomLoss, annealed': Solver(_geomloss, 'geomloss', balanced_only=True),
    'OTT': Solver(_ott, 'ott'),
}


def calls(task: Task) -> Iterator[tuple[str, Call]]:
    """Yields what each solver that can solve a task is timed by; ours first.

    Args:
        task (Task): Costs and numbers.

    Yields:
        tuple[str, Callable]: The solver's name and the call.
    """
    for name, solver in SOLVERS.items():
        if solver.can_solve(task):
            yield name, solver.prepare(task)
