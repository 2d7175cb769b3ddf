"""Deformable DETR with balanced OT on COCO (paper, Table 1)."""

_base_ = 'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(type='UOTDeformableDETRHead'),
    train_cfg=dict(
        assigner=dict(
            type='SinkhornAssigner',
            match_costs=[
                # 5 in the matching, 2 in the loss (Sec. 4.1)
                dict(type='FocalLossCost', weight=5.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='OneMinusIoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
)
