"""SSD300 with Unbalanced Optimal Transport at CPU scale.

The same 8,732 anchors; a narrow ResNet-18 on 960 images instead of VGG-16 on
4,800.
"""

_base_ = 'ssd300_uot.py'

# The base's published weights are of VGG-16.
pretrained = None

channels = (32, 64, 64, 64, 64, 64)
model = dict(
    data_preprocessor=dict(std=[58.395, 57.12, 57.375]),
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        base_channels=16,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(1, 2),
    ),
    neck=dict(
        in_channels=channels[:2],
        out_channels=channels,
        l2_norm_scale=None,
        norm_cfg=dict(type='BN'),
    ),
    bbox_head=dict(in_channels=channels),
)

data_root = 'data/color_boxes_cpu/'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(300, 300), keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    num_workers=1,
    drop_last=True,  # BatchNorm cannot take a last batch of one image
    dataset=dict(data_root=data_root, num_images=960, pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=1, dataset=dict(data_root=data_root, num_images=240)
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator

max_epochs = 10
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=25),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=8e-3, weight_decay=1e-4)
)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2))
