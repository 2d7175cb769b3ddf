"""SSD512 with Unbalanced Optimal Transport on Color Boxes, 24,564 anchors."""

_base_ = 'ssd300_uot.py'

input_size = 512
channels = (512, 1024, 512, 256, 256, 256, 256)
model = dict(
    neck=dict(
        out_channels=channels,
        level_strides=(2, 2, 2, 2, 1),
        level_paddings=(1, 1, 1, 1, 1),
        last_kernel_size=4,
    ),
    bbox_head=dict(
        in_channels=channels,
        anchor_generator=dict(
            input_size=input_size,
            basesize_ratio_range=(0.1, 0.9),
            strides=[8, 16, 32, 64, 128, 256, 512],
            ratios=[[2], [2, 3], [2, 3], [2, 3], [2, 3], [2], [2]],
        ),
    ),
)

train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
for transform in train_pipeline + test_pipeline:
    if transform['type'] == 'Resize':
        transform['scale'] = (input_size, input_size)
del transform
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
