"""RetinaNet on transport plans on COCO; every object has an anchor."""

_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(type='UOTRetinaHead'),
    train_cfg=dict(
        assigner=dict(
            _delete_=True,
            type='UOTAssigner',
            background_cost=0.6,
            gt_mass=(1, 'inf'),
            tau2='inf',
        )
    ),
)
