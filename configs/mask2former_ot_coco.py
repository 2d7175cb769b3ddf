"""Mask2Former on balanced transport plans on COCO, instances."""

_base_ = 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)

model = dict(
    panoptic_head=dict(type='UOTMask2FormerHead'),
    train_cfg=dict(assigner=dict(type='SinkhornAssigner')),
)
