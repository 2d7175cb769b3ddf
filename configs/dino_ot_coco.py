"""DINO with balanced Optimal Transport on COCO.

Its twin with Hungarian matching is the base itself.
"""

_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(type='UOTDINOHead'),
    train_cfg=dict(assigner=dict(type='SinkhornAssigner')),
)
