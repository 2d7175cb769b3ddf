"""SSD300 with balanced Optimal Transport on Color Boxes."""

_base_ = 'ssd300_uot.py'

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
