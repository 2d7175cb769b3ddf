"""Anchors to pairs at once, without a matrix of costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData

from ..costs.class_losses import BatchedBackgroundCost
from ..costs.exclusion import exclude
from ..costs.matching_cost import Costs, MatchingCost
from ..costs.paper_costs import OneMinusIoUCost
from ..costs.scale import UnitScale
from ..inputs.match_batch import MatchBatch
from ..inputs.native_overlaps import closest_pairs
from ..masses import Mass
from ..masses.option import most_asked
from ..ot import (
    ExactSolver,
    ScalingSolver,
    Solver,
    SparsePlan,
    TwoStageSolver,
    may_hold,
)
from ..ot.scaling.sparse import solve_overlaps

__all__ = ['match_overlaps']


def match_overlaps(
    batch: MatchBatch,
    batch_ignore: Sequence[InstanceData | None],
    cost: MatchingCost,
    mass: Mass,
    solver: Solver,
    forced: bool,
) -> SparsePlan | None:
    """Matches a batch by 1 - IoU on the CPU.

    Boxes that do not overlap cost one number, so that only those that do are
    looked at. The plan is that of the costs.

    Args:
        batch (MatchBatch): B images.
        batch_ignore (Sequence[InstanceData | None]): Per image, ignored
            ``bboxes``, or None.
        cost (MatchingCost): What pairs cost.
        mass (Mass): The masses asked for.
        solver (Solver): The scaling algorithm, or the exact one of two stages
            or of the closest ground truth.
        forced (bool): Whether ground truths insist on their mass.

    Returns:
        SparsePlan | None: None if the costs are to be computed: for others
        than 1 - IoU, in another unit, for other solvers, where a box is no
        good, where too many pairs can carry mass, or where boxes without
        overlap can be the closest.
    """
    if (
        [type(term) for term in cost.match_costs] != [OneMinusIoUCost]
        or cost.match_costs[0].iou_mode != 'iou'
        or not isinstance(cost.scale, UnitScale)
        or cost.scale.span.unit != cost.match_costs[0].weight
        or not cost.match_costs[0].weight > 0
        or isinstance(cost.background_cost, BatchedBackgroundCost)
        or not _can_solve(solver, mass)
        or 0 in batch.shape
        or batch.blocked_boxes is None
        or may_hold(batch.gt_flaws() > 0)
    ):
        return None
    B, N, columns = batch.shape
    # What is asked of the predictions and ground truths needs no cost.
    unknown = batch.boxes.new_zeros(()).expand(B, N, columns)
    gt_valid = batch.gt_valid()
    pred_valid = cost.taking_part(batch, batch_ignore, forced)
    allowed = counts = None
    if cost.candidates is not None:
        allowed = cost.candidates.pairs(batch)
        counts = exclude(None, allowed, gt_valid, pred_valid)
        gt_valid = gt_valid & (counts > 0)
    num_preds = None if cost.ignores else batch.num_preds
    problem = mass(
        Costs(unknown, gt_valid, pred_valid, 1.0, num_preds, counts), batch
    )
    background = torch.as_tensor(
        cost.scale.background(cost.background_of(batch), solver.is_exact),
        dtype=torch.float32,
    )
    if background.dim() == 0:
        background = background.repeat(N)
    background = background.expand(B, N)
    if not isinstance(solver, ScalingSolver):
        pairs = closest_pairs(
            batch,
            cost.match_costs[0].weight,
            background,
            problem.gt_mass[:, :-1] > 0,
            pred_valid,
            allowed,
            forced=isinstance(solver, TwoStageSolver),
        )
        if pairs is None:
            return None
        return SparsePlan.one_each(pairs, problem.pred_mass, problem.gt_mass)
    return solve_overlaps(
        batch.blocked_boxes,
        batch.gt_boxes,
        background,
        problem.pred_mass,
        problem.gt_mass,
        problem.gt_range,
        solver.numbers(problem, mass.tau1, mass.tau2),
        allowed,
        counts,
    )


def _can_solve(solver: Solver, mass: Mass) -> bool:
    """Tells whether there is a way from boxes to pairs."""
    if isinstance(solver, ScalingSolver):
        return solver.epsilon_rule != 'support'
    if isinstance(solver, ExactSolver):
        # Weights of other masses are what rounding leaves of 1.
        whole = most_asked(mass.gt_mass) is not None
        return whole and (mass.tau1, mass.tau2) == (math.inf, 0)
    return isinstance(solver, TwoStageSolver)
