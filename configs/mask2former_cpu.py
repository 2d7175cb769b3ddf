"""Mask2Former with HungarianAssigner at CPU scale, the baseline."""

_base_ = '_base_/families_cpu.py'

dims, num_classes = 64, 20
attention = dict(embed_dims=dims, num_heads=4, dropout=0.0, batch_first=True)
ffn = dict(
    embed_dims=dims,
    feedforward_channels=256,
    num_fcs=2,
    ffn_drop=0.0,
    act_cfg=dict(type='ReLU', inplace=True),
)
position = dict(num_feats=dims // 2, normalize=True)
model = dict(
    type='Mask2Former',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        pad_mask=True,
    ),
    backbone=dict(
        type='ResNet', out_indices=(0, 1, 2, 3), **_base_.narrow_backbone
    ),
    panoptic_head=dict(
        type='Mask2FormerHead',
        in_channels=[16, 32, 64, 128],
        strides=[4, 8, 16, 32],
        feat_channels=dims,
        out_channels=dims,
        num_things_classes=num_classes,
        num_stuff_classes=0,
        num_queries=50,
        num_transformer_feat_level=3,
        pixel_decoder=dict(
            type='MSDeformAttnPixelDecoder',
            num_outs=3,
            norm_cfg=dict(type='GN', num_groups=32),
            act_cfg=dict(type='ReLU'),
            encoder=dict(
                num_layers=1,
                layer_cfg=dict(
                    self_attn_cfg=dict(num_levels=3, **attention),
                    ffn_cfg=ffn,
                ),
            ),
            positional_encoding=position,
        ),
        enforce_decoder_input_project=False,
        positional_encoding=position,
        transformer_decoder=dict(
            return_intermediate=True,
            num_layers=3,
            layer_cfg=dict(
                self_attn_cfg=attention,
                cross_attn_cfg=attention,
                ffn_cfg=ffn,
            ),
        ),
        loss_cls=dict(
            type='CrossEntropyLoss',
            loss_weight=2.0,
            class_weight=[1.0] * num_classes + [0.1],
        ),
        loss_mask=dict(
            type='CrossEntropyLoss', use_sigmoid=True, loss_weight=5.0
        ),
        loss_dice=dict(
            type='DiceLoss', naive_dice=True, eps=1.0, loss_weight=5.0
        ),
    ),
    panoptic_fusion_head=dict(
        type='MaskFormerFusionHead',
        num_things_classes=num_classes,
        num_stuff_classes=0,
    ),
    train_cfg=dict(
        num_points=1024,
        oversample_ratio=3.0,
        importance_sample_ratio=0.75,
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='ClassificationCost', weight=2.0),
                dict(type='CrossEntropyLossCost', weight=5.0),
                dict(type='DiceCost', weight=5.0, pred_act=True, eps=1.0),
            ],
        ),
        sampler=dict(type='MaskPseudoSampler'),
    ),
    test_cfg=dict(
        panoptic_on=False,
        semantic_on=False,
        instance_on=True,
        max_per_image=100,
    ),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(300, 300), keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=0.01),
)
auto_scale_lr = dict(base_batch_size=8)
# Masks are boxes that may be turned.
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
