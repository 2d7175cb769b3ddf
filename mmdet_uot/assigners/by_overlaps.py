"""Anchors to pairs at once, without a matrix of costs."""

from __future__ import annotations

import torch

from ..costs.class_losses import BatchedBackgroundCost
from ..costs.matching_cost import Costs, MatchingCost
from ..costs.paper_costs import OneMinusIoUCost
from ..costs.scale import UnitScale
from ..inputs.match_batch import MatchBatch
from ..masses import Mass
from ..ot import ScalingSolver, Solver, SparsePlan, may_hold
from ..ot.scaling.sparse import solve_overlaps

__all__ = ['match_overlaps']


def match_overlaps(
    batch: MatchBatch, cost: MatchingCost, mass: Mass, solver: Solver
) -> SparsePlan | None:
    """Matches a batch by 1 - IoU on the CPU.

    Boxes that do not overlap cost one number, so that only those that do are
    looked at. The plan is that of the costs.

    Args:
        batch (MatchBatch): B images.
        cost (MatchingCost): What pairs cost.
        mass (Mass): The masses asked for.
        solver (Solver): The scaling algorithm.

    Returns:
        SparsePlan | None: None if the costs are to be computed: for others
        than 1 - IoU, in another unit, with candidates, ignored boxes or a
        band, where a box is no good, or where too many pairs can carry mass.
    """
    if (
        [type(term) for term in cost.match_costs] != [OneMinusIoUCost]
        or cost.match_costs[0].iou_mode != 'iou'
        or not isinstance(cost.scale, UnitScale)
        or cost.scale.span.unit != cost.match_costs[0].weight
        or cost.candidates is not None
        or isinstance(cost.background_cost, BatchedBackgroundCost)
        or cost.ignore_iof_thr > 0
        or cost.ignore_band is not None
        or not isinstance(solver, ScalingSolver)
        or solver.epsilon_rule == 'support'
        or batch.device.type != 'cpu'
        or 0 in batch.shape
        or may_hold(batch.gt_flaws() > 0)
    ):
        return None
    B, N, columns = batch.shape
    # What is asked of the predictions and ground truths needs no cost.
    unknown = batch.boxes.new_zeros(()).expand(B, N, columns)
    gt_valid, pred_valid = batch.gt_valid(), batch.pred_valid()
    costs = Costs(unknown, gt_valid, pred_valid, 1.0, batch.num_preds)
    problem = mass(costs, batch)
    background = cost.background_of(batch)
    if not isinstance(background, torch.Tensor):
        background = torch.tensor(background)
    return solve_overlaps(
        batch.boxes,
        batch.gt_boxes,
        background.float().expand(B, N).contiguous(),
        problem.pred_mass,
        problem.gt_mass,
        problem.gt_range,
        solver.numbers(problem, mass.tau1, mass.tau2),
    )
