"""Faster R-CNN on transport plans on COCO."""

_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)

uot = dict(_delete_=True, type='UOTAssigner')
model = dict(
    rpn_head=dict(type='UOTRPNHead'),
    roi_head=dict(type='UOTStandardRoIHead'),
    train_cfg=dict(
        rpn=dict(assigner=dict(uot, background_cost=0.7)),
        rcnn=dict(assigner=uot),
    ),
)
