"""SSD300 with Unbalanced Optimal Transport on Color Boxes (paper, Sec. 4)."""

_base_ = [
    'mmdet::_base_/models/ssd300.py',
    'mmdet::_base_/default_runtime.py',
    '_base_/color_boxes_ssd300.py',
    '_base_/ssd_schedule_120e.py',
]
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)

# `tools/train.py --pretrained` downloads these; without it nothing is.
pretrained = dict(type='Pretrained', checkpoint='open-mmlab://vgg16_caffe')

model = dict(
    backbone=dict(init_cfg=None),
    bbox_head=dict(type='UOTSSDHead', num_classes=20),
    train_cfg=dict(
        assigner=dict(
            _delete_=True,
            type='UOTAssigner',
            match_costs=[dict(type='OneMinusIoUCost')],
            background_cost=0.5,
            tau1=100.0,
            tau2=0.01,
        )
    ),
)
default_hooks = dict(
    checkpoint=dict(interval=10, max_keep_ckpts=2, save_best='auto')
)
custom_hooks = [
    dict(type='NumClassCheckHook'),
    dict(type='CheckInvalidLossHook', interval=50, priority='VERY_LOW'),
]
