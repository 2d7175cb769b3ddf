"""Deformable DETR, Hungarian, at CPU scale: twin of deformable_detr_ot_cpu."""

_base_ = 'deformable_detr_ot_cpu.py'

model = dict(train_cfg=dict(assigner=dict(type='HungarianAssigner')))
