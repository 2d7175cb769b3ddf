"""ATSS on transport plans on COCO."""

_base_ = 'mmdet::atss/atss_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(type='UOTATSSHead'),
    train_cfg=dict(
        assigner=dict(_delete_=True, type='UOTAssigner', background_cost=0.7)
    ),
)
