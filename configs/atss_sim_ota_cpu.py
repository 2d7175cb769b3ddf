"""ATSS's head matched by its predictions at CPU scale.

SimOTA; with another preset OTA, TAL or RTMDet's assigner.
"""

_base_ = 'atss_cpu.py'

model = dict(
    bbox_head=dict(type='UOTATSSHead', match_predictions=True),
    train_cfg=dict(
        assigner=dict(_delete_=True, type='UOTAssigner', preset='sim_ota')
    ),
)
