"""Anchors to pairs at once, without a matrix of costs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData

from ..costs.class_losses import BatchedBackgroundCost
from ..costs.exclusion import exclude
from ..costs.matching_cost import Costs, MatchingCost
from ..costs.paper_costs import OneMinusIoUCost
from ..costs.scale import UnitScale
from ..inputs.match_batch import MatchBatch
from ..masses import Mass
from ..ot import ScalingSolver, Solver, SparsePlan, may_hold
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
        solver (Solver): The scaling algorithm.
        forced (bool): Whether ground truths insist on their mass.

    Returns:
        SparsePlan | None: None if the costs are to be computed: for others
        than 1 - IoU, in another unit, where a box is no good, or where too
        many pairs can carry mass.
    """
    if (
        [type(term) for term in cost.match_costs] != [OneMinusIoUCost]
        or cost.match_costs[0].iou_mode != 'iou'
        or not isinstance(cost.scale, UnitScale)
        or cost.scale.span.unit != cost.match_costs[0].weight
        or isinstance(cost.background_cost, BatchedBackgroundCost)
        or not isinstance(solver, ScalingSolver)
        or solver.epsilon_rule == 'support'
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
    background = cost.background_of(batch)
    if not isinstance(background, torch.Tensor):
        background = torch.tensor(background)
    return solve_overlaps(
        batch.blocked_boxes,
        batch.gt_boxes,
        background.float().expand(B, N).contiguous(),
        problem.pred_mass,
        problem.gt_mass,
        problem.gt_range,
        solver.numbers(problem, mass.tau1, mass.tau2),
        allowed,
        counts,
    )
