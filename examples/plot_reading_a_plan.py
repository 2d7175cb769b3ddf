"""
Reading a plan
==============

A plan says how much of each prediction is matched to each object. This is
what can be read from it.
"""

from pathlib import Path

import torch

from mmdet_uot.ot import MatchingProblem, plan_entropy, scale_epsilon, sinkhorn
from mmdet_uot.visualization import draw_plan
from mmdet_uot.visualization.style import save

# %%
# Two images with 40 predictions each, one with three objects, one with one.
# The last column is the background.

torch.manual_seed(0)
costs = [torch.rand(40, 3), torch.rand(40, 1)]
problem = MatchingProblem.from_costs(costs, background_cost=0.3)
plan = sinkhorn(problem, epsilon=scale_epsilon(40), num_iters=200)
print('weights', tuple(plan.weights.shape))

# %%
# The weights are scaled by the number of predictions: a row sums to 1, and an
# object's column to the number of predictions that it gets.

print('sent', plan.pred_marginal[0, :4])
print('received', plan.gt_marginal[0])

# %%
# The pairs are what losses weight. Most of the matrix is empty.

pairs = plan.pairs(min_mass=0.05)
for image, prediction, gt, mass in zip(*pairs):
    print(f'image {image}: prediction {prediction:2} to {gt}: {mass:.2f}')

# %%
# How far from converged, how soft, and three hard matchings made of it.

print('marginal error', plan.marginal_error)
print('entropy', plan_entropy(plan.weights))
for view in (plan.best_ground_truth, plan.best_prediction, plan.one_to_one):
    print(view.__name__, (view()[0] >= 0).nonzero().flatten().tolist())

figure = draw_plan(plan, num_gts=3, max_rows=12)
save(figure, Path('work_dirs/gallery/reading_a_plan.png'))
