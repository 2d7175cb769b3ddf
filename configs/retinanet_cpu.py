"""RetinaNet with MaxIoUAssigner at CPU scale, the baseline."""

_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    '_base_/families_cpu.py',
]

model = dict(
    backbone=_base_.narrow_backbone,
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=64, num_outs=3),
    bbox_head=dict(
        num_classes=20,
        in_channels=64,
        feat_channels=64,
        stacked_convs=1,
        # Rectangles are 7 to 48 pixels wide.
        anchor_generator=dict(
            octave_base_scale=2, scales_per_octave=2, strides=[8, 16, 32]
        ),
    ),
)
