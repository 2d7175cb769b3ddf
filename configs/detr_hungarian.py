"""DETR with Hungarian matching on Color Boxes, twin of detr_ot."""

_base_ = 'detr_ot.py'

model = dict(train_cfg=dict(assigner=dict(type='HungarianAssigner')))
