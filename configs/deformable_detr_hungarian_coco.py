"""Deformable DETR, Hungarian, on COCO: twin of deformable_detr_ot_coco."""

_base_ = 'deformable_detr_ot_coco.py'

model = dict(train_cfg=dict(assigner=dict(type='HungarianAssigner')))
