"""SSD300-UOT at CPU scale, matched by the Wasserstein distance of boxes."""

_base_ = 'ssd300_uot_cpu.py'

model = dict(
    train_cfg=dict(
        assigner=dict(match_costs=[dict(type='GaussianWassersteinCost')])
    )
)
