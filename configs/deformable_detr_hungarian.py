"""Deformable DETR, Hungarian, on Color Boxes: twin of deformable_detr_ot."""

_base_ = 'deformable_detr_ot.py'

model = dict(train_cfg=dict(assigner=dict(type='HungarianAssigner')))
