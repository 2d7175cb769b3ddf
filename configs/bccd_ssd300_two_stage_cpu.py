"""SSD300 with its two-stage matching on blood cells at CPU scale."""

_base_ = 'bccd_ssd300_uot_cpu.py'

model = dict(
    train_cfg=dict(
        assigner=dict(
            _delete_=True,
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            min_pos_iou=0.0,
            ignore_iof_thr=-1,
            gt_max_assign_all=False,
        )
    )
)
