"""Deformable DETR with balanced OT at CPU scale.

300 queries as in the base; a narrow ResNet-18, three levels and 1 + 3 layers
of 128 channels, on 960 images of half the size.
"""

_base_ = 'deformable_detr_ot.py'

dims = 128
levels = 3
deformable = dict(embed_dims=dims, num_levels=levels, dropout=0.0)
ffn = dict(embed_dims=dims, feedforward_channels=512, ffn_drop=0.0)
model = dict(
    num_feature_levels=levels,
    backbone=dict(
        depth=18,
        base_channels=16,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(1, 2),
        frozen_stages=-1,
        norm_cfg=dict(requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64], out_channels=dims, num_outs=levels),
    encoder=dict(
        num_layers=1, layer_cfg=dict(self_attn_cfg=deformable, ffn_cfg=ffn)
    ),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=dims, dropout=0.0),
            cross_attn_cfg=deformable,
            ffn_cfg=ffn,
        ),
    ),
    positional_encoding=dict(num_feats=dims // 2),
    bbox_head=dict(embed_dims=dims),
)

data_root = 'data/color_boxes_cpu/'
scale = (250, 200)
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        num_images=960,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='Resize', scale=scale),
            dict(
                type='RandomFlip',
                prob=0.75,
                direction=['horizontal', 'vertical', 'diagonal'],
            ),
            dict(type='PackDetInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        num_images=240,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=scale),
            *_base_.test_pipeline[2:],
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator

max_epochs = 8
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
optim_wrapper = dict(
    optimizer=dict(lr=5e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))),
)
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
