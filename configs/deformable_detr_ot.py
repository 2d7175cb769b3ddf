"""Deformable DETR with balanced OT on Color Boxes (paper, Table 1)."""

_base_ = [
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    '_base_/color_boxes.py',
]
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(type='UOTDeformableDETRHead', num_classes=20),
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
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **_base_.color_boxes.train,
        pipeline=_base_.train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **_base_.color_boxes.val,
        pipeline=_base_.test_pipeline,
    )
)
test_dataloader = val_dataloader
val_evaluator = _base_.color_boxes.evaluator
test_evaluator = val_evaluator
