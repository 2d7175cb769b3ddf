"""RTMDet-s on transport plans on COCO: its own assigner, softened."""

_base_ = 'mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py'
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(type='UOTRTMDetSepBNHead'),
    train_cfg=dict(
        assigner=dict(
            _delete_=True,
            type='UOTAssigner',
            preset='dynamic_soft_label',
            epsilon=0.05,
        )
    ),
)
