"""Faster R-CNN with MaxIoUAssigner at CPU scale, the baseline."""

_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    '_base_/families_cpu.py',
]

strides = [8, 16, 32]
model = dict(
    backbone=_base_.narrow_backbone,
    neck=dict(
        in_channels=[16, 32, 64, 128],
        out_channels=64,
        start_level=1,
        num_outs=3,
    ),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        # Rectangles are 7 to 48 pixels wide.
        anchor_generator=dict(scales=[2, 3], strides=strides),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, featmap_strides=strides),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=20),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=300),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=300)),
)
