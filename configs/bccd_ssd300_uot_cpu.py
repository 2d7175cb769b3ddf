"""SSD300 with Unbalanced Optimal Transport on blood cells at CPU scale."""

_base_ = ['ssd300_uot_cpu.py', '_base_/bccd.py']

model = dict(bbox_head=dict(num_classes=3))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='MinIoURandomCrop',
        min_ious=(0.3, 0.5, 0.7, 0.9),
        min_crop_size=0.5,
    ),
    dict(type='Resize', scale=(300, 300), keep_ratio=False),
    dict(type='YOLOXHSVRandomAug'),  # before the flip: it writes in place
    _base_.flip,
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=8, dataset=dict(_base_.bccd.train, pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(_base_.bccd.val, pipeline=_base_.test_pipeline)
)
test_dataloader = dict(
    dataset=dict(_base_.bccd.test, pipeline=_base_.test_pipeline)
)
val_evaluator = _base_.bccd.val_evaluator
test_evaluator = _base_.bccd.test_evaluator

max_epochs = 80
train_cfg = dict(max_epochs=max_epochs, val_interval=20)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=max_epochs),
]
optim_wrapper = dict(optimizer=dict(lr=2e-3))
auto_scale_lr = dict(base_batch_size=8)
