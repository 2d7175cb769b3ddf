"""Deformable DETR with balanced OT on blood cells at CPU scale."""

_base_ = ['deformable_detr_ot_cpu.py', '_base_/bccd.py']

model = dict(bbox_head=dict(num_classes=3))

scale = (250, 200)
load = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=scale),
]
train_pipeline = [*load, _base_.flip, dict(type='PackDetInputs')]
evaluate = [*load, _base_.test_pipeline[-1]]
train_dataloader = dict(
    dataset=dict(_base_.bccd.train, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(_base_.bccd.val, pipeline=evaluate))
test_dataloader = dict(dataset=dict(_base_.bccd.test, pipeline=evaluate))
val_evaluator = _base_.bccd.val_evaluator
test_evaluator = _base_.bccd.test_evaluator

max_epochs = 60
train_cfg = dict(max_epochs=max_epochs, val_interval=15)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=max_epochs),
]
