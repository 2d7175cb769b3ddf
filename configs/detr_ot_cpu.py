"""DETR with balanced Optimal Transport at CPU scale.

100 queries as in the base; a narrow ResNet-18 of stride 16 and 2 + 3 layers of
128 channels, on 960 images of half the size.
"""

_base_ = 'detr_ot.py'

dims = 128
attention = dict(embed_dims=dims, num_heads=4, dropout=0.0)
ffn = dict(embed_dims=dims, feedforward_channels=512, ffn_drop=0.0)
model = dict(
    backbone=dict(
        depth=18,
        base_channels=16,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
        frozen_stages=-1,
        norm_cfg=dict(requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[64], out_channels=dims),
    encoder=dict(
        num_layers=2, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)
    ),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(
            self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=ffn
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

max_epochs = 50
train_cfg = dict(max_epochs=max_epochs, val_interval=10)
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
