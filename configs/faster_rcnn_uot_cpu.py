"""Faster R-CNN on transport plans at CPU scale."""

_base_ = 'faster_rcnn_cpu.py'

uot = dict(_delete_=True, type='UOTAssigner', background_cost=0.5)
model = dict(
    rpn_head=dict(type='UOTRPNHead'),
    roi_head=dict(type='UOTStandardRoIHead'),
    train_cfg=dict(rpn=dict(assigner=uot), rcnn=dict(assigner=uot)),
)
