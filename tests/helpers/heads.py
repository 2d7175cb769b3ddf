"""A small head with anchors on two levels."""

NUM_CLASSES = 4
SIZE, STRIDES = 96, (16, 32)
HEAD = dict(
    num_classes=NUM_CLASSES,
    in_channels=(8, 8),
    anchor_generator=dict(
        type='AnchorGenerator',
        strides=STRIDES,
        ratios=[0.5, 1.0, 2.0],
        scales=[1.0, 1.5],
    ),
)
