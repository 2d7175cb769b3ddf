"""RTMDet's head with its own assigner at CPU scale, the baseline."""

_base_ = 'retinanet_cpu.py'

model = dict(
    type='RTMDet',
    neck=dict(add_extra_convs=False),
    bbox_head=dict(
        _delete_=True,
        type='RTMDetHead',
        num_classes=20,
        in_channels=64,
        feat_channels=64,
        stacked_convs=1,
        with_objectness=False,
        anchor_generator=dict(
            type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]
        ),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(_delete_=True, type='DynamicSoftLabelAssigner', topk=13)
    ),
    test_cfg=dict(
        nms_pre=3000,
        score_thr=0.001,
        nms=dict(iou_threshold=0.65),
        max_per_img=300,
    ),
)
