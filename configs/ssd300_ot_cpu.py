"""SSD300 with balanced Optimal Transport at CPU scale."""

_base_ = 'ssd300_uot_cpu.py'

model = dict(
    train_cfg=dict(
        assigner=dict(
            _delete_=True,
            type='SinkhornAssigner',
            match_costs=[dict(type='OneMinusIoUCost')],
            background_cost=0.5,
        )
    )
)
