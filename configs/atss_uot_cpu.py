"""ATSS on transport plans at CPU scale."""

_base_ = 'atss_cpu.py'

model = dict(
    bbox_head=dict(type='UOTATSSHead'),
    train_cfg=dict(
        assigner=dict(_delete_=True, type='UOTAssigner', background_cost=0.6)
    ),
)
