"""DETR-OT at CPU scale, with an entropy that is reduced over training."""

_base_ = 'detr_ot_cpu.py'

# A smaller epsilon takes more iterations.
model = dict(train_cfg=dict(assigner=dict(num_iters=50)))
custom_hooks = [
    dict(
        type='MatchingScheduleHook',
        epsilon0=(0.12, 0.012),
        shape='exponential',
    )
]
