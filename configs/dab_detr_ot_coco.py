"""DAB-DETR with balanced Optimal Transport on COCO.

Its twin with Hungarian matching is the base itself.
"""

_base_ = 'mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py'
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)

model = dict(
    bbox_head=dict(type='UOTDABDETRHead'),
    train_cfg=dict(assigner=dict(type='SinkhornAssigner')),
)
