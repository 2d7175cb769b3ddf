"""SSD300 with balanced Optimal Transport on COCO, mmdet's schedule."""

_base_ = 'mmdet::ssd/ssd300_coco.py'
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(type='UOTSSDHead'),
    train_cfg=dict(
        assigner=dict(
            _delete_=True,
            type='SinkhornAssigner',
            match_costs=[dict(type='OneMinusIoUCost')],
            background_cost=0.5,
        )
    ),
)
