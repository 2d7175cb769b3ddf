"""
How much mass an object asks for
================================

One prediction per object, two, at most one or at least one: Hungarian
matching, one-to-many matching, upper bounds, and forced matches.
"""

from pathlib import Path

from mmengine.structures import InstanceData

from mmdet_uot.assigners import UOTAssigner
from mmdet_uot.matched_images.example import example_matchers
from mmdet_uot.visualization import MatchedImage, draw_matchers
from mmdet_uot.visualization.style import save

scene = next(iter(example_matchers().values()))
preds = InstanceData(bboxes=scene.pred_boxes)
objects = InstanceData(bboxes=scene.gt_boxes)

# %%
# ``gt_mass`` takes a number, a range, the name of a field of the ground
# truths, or a rule such as ``DynamicMass``, that of OTA and SimOTA.

matched = {}
for heading, gt_mass in {
    'one each\ngt_mass=1': 1,
    'two each\ngt_mass=2': 2,
    'at most one\ngt_mass=(0, 1)': (0, 1),
    "at least one\ngt_mass=(1, 'inf')": (1, 'inf'),
}.items():
    assigner = UOTAssigner(
        gt_mass=gt_mass,
        tau1='inf',
        tau2='inf',
        epsilon=0.02,
        background_cost=0.6,
        num_iters=500,
    )
    plan = assigner.match([preds], [objects])
    matched[heading] = MatchedImage(
        scene.image, scene.pred_boxes, scene.gt_boxes, plan
    )
    received = plan.gt_marginal[0, :-1]
    print(
        heading.replace('\n', ': '), [round(x, 2) for x in received.tolist()]
    )

figure = draw_matchers(matched, title='What an object asks for')
save(figure, Path('work_dirs/gallery/masses.png'))
