"""SSD300-UOT at CPU scale, with a background cost per pyramid level.

In the hard limit it is a threshold on the IoU: 0.4 for the smallest anchors,
those of the first level, and 0.5 for the others.
"""

_base_ = 'ssd300_uot_cpu.py'

first_level = 38 * 38 * 4
model = dict(
    train_cfg=dict(
        assigner=dict(
            background_cost=[(0.6, first_level), (0.5, 8732 - first_level)]
        )
    )
)
