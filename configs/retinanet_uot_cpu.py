"""RetinaNet on transport plans at CPU scale."""

_base_ = 'retinanet_cpu.py'

model = dict(
    bbox_head=dict(type='UOTRetinaHead'),
    train_cfg=dict(
        assigner=dict(_delete_=True, type='UOTAssigner', background_cost=0.6)
    ),
)
