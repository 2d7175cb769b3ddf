"""Mask2Former on balanced transport plans at CPU scale."""

_base_ = 'mask2former_cpu.py'

model = dict(
    panoptic_head=dict(type='UOTMask2FormerHead'),
    train_cfg=dict(assigner=dict(type='SinkhornAssigner')),
)
