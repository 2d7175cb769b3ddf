"""DETR with balanced Optimal Transport on COCO."""

_base_ = 'mmdet::detr/detr_r50_8xb2-150e_coco.py'
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(type='UOTDETRHead', loss_cls=dict(loss_weight=2.0)),
    train_cfg=dict(
        assigner=dict(
            type='SinkhornAssigner',
            match_costs=[
                dict(type='OneMinusProbCost', weight=2.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='OneMinusIoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
)
