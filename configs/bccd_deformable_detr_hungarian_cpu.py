"""Deformable DETR, Hungarian, on blood cells at CPU scale."""

_base_ = 'bccd_deformable_detr_ot_cpu.py'

model = dict(train_cfg=dict(assigner=dict(type='HungarianAssigner')))
