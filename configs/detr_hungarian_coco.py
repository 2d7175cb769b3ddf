"""DETR with Hungarian matching on COCO, twin of detr_ot_coco."""

_base_ = 'detr_ot_coco.py'

model = dict(train_cfg=dict(assigner=dict(type='HungarianAssigner')))
