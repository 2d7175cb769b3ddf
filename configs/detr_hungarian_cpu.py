"""DETR with Hungarian matching at CPU scale, twin of detr_ot_cpu."""

_base_ = 'detr_ot_cpu.py'

model = dict(train_cfg=dict(assigner=dict(type='HungarianAssigner')))
