from types import SimpleNamespace

import pytest
import torch

from mmdet_uot.ot import MatchingProblem, TransportPlan, sinkhorn


@pytest.fixture
def rand():
    """Random tensors, the same in every run: `rand(*shape)`."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape, dtype=torch.float64):
        return torch.rand(shape, generator=generator, dtype=dtype)

    return draw


@pytest.fixture
def matched(rand):
    """A batch under a plan: three images of 40 anchors, 0 to 5 objects.

    `matched('soft')` is unbalanced, so that rows do not sum to 1;
    `matched('hard')` has zeros and ones, `matched('ignored')` rows of zeros.
    """

    def make(kind, dtype=torch.float64):
        num_gts, num_preds, num_classes = [5, 0, 2], 40, 3
        labels = (rand(3, 5) * num_classes).long()
        if kind == 'soft':
            costs = [rand(num_preds, count) for count in num_gts]
            problem = MatchingProblem.from_costs(costs, 0.3)
            plan = sinkhorn(problem, epsilon=0.05, tau1=1.0, tau2=0.05)
        else:
            indices = torch.stack(
                [
                    (rand(num_preds) * (count + 8)).long() - 8
                    for count in num_gts
                ]
            ).clamp(min=-1)
            ignored = rand(3, num_preds) < 0.2 if kind == 'ignored' else None
            plan = TransportPlan.from_indices(indices, 5, ignored)
        plan = TransportPlan(
            plan.weights.to(dtype),
            plan.pred_mass.to(dtype),
            plan.gt_mass.to(dtype),
        )
        return SimpleNamespace(
            plan=plan,
            labels=labels,
            num_classes=num_classes,
            scores=(6 * rand(3, num_preds, num_classes + 1) - 3).to(dtype),
            pred=rand(3, num_preds, 4).to(dtype),
            target=rand(3, 5, 4).to(dtype),
        )

    return make
