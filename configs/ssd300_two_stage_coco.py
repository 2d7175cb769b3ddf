"""SSD300 with its two-stage matching, the baseline, on COCO."""

_base_ = 'mmdet::ssd/ssd300_coco.py'
custom_imports = dict(imports=['mmdet_uot'], allow_failed_imports=False)

model = dict(bbox_head=dict(type='UOTSSDHead'))
