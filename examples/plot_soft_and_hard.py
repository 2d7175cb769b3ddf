"""
Soft against hard
=================

Four numbers lead from one matcher to another: epsilon, tau1, tau2 and the
background cost. Here are nine predictions and four objects under all of them.
"""

from pathlib import Path

from mmdet_uot.matched_images.example import example_problem
from mmdet_uot.ot import plan_entropy, sinkhorn, solve
from mmdet_uot.visualization import draw_grid
from mmdet_uot.visualization.style import save

# %%
# From left to right, epsilon grows: what was one prediction becomes a few.
# From top to bottom, the masses of the objects soften: what was one-to-one
# becomes each prediction's closest object. The first column is exact.

problem = example_problem()
figure = draw_grid(problem)
save(figure, Path('work_dirs/gallery/soft_and_hard.png'))

# %%
# Entropy says how soft a plan is. As epsilon falls to 0 the plan becomes that
# of the exact matcher, but for a tie: two predictions are as good as each
# other for the third object. The plan halves it, the exact matcher takes one.

exact = solve(problem, epsilon=0.0)
for epsilon in (0.2, 0.05, 0.01, 0.002):
    plan = sinkhorn(problem, epsilon=epsilon, num_iters=2000)
    away = (plan.weights - exact.weights).abs().sum() / 2
    print(
        f'epsilon {epsilon:<5}',
        f'entropy {plan_entropy(plan.weights).item():.3f}',
        f'mass that sits elsewhere than in the exact matching {away:.3f}',
        sep='   ',
    )
