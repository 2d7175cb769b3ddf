"""RTMDet's head on transport plans at CPU scale."""

_base_ = 'rtmdet_cpu.py'

model = dict(
    bbox_head=dict(type='UOTRTMDetHead'),
    train_cfg=dict(
        assigner=dict(
            _delete_=True,
            type='UOTAssigner',
            preset='dynamic_soft_label',
            epsilon=0.05,
        )
    ),
)
