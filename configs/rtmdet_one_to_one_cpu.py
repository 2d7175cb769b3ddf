"""RTMDet's head at CPU scale with masses that fall to one, without NMS."""

_base_ = 'rtmdet_uot_cpu.py'

first_mass = 8.0
model = dict(
    # One layer cannot see whether its neighbour answers already.
    bbox_head=dict(stacked_convs=2),
    train_cfg=dict(assigner=dict(gt_mass=first_mass)),
    test_cfg=dict(nms=None),
)
custom_hooks = [
    dict(type='MatchingScheduleHook', gt_mass=(first_mass, 1.0), end=7)
]
