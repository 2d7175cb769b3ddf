"""BCCD (https://github.com/Shenggan/BCCD_Dataset), as docs/own_data.md has it.

205 training, 87 validation and 72 test images of blood cells.
"""

bccd_root = 'data/bccd/'
cells = dict(
    _delete_=True,
    type='CocoDataset',
    data_root=bccd_root,
    data_prefix=dict(img='images/'),
    metainfo=dict(
        classes=('RBC', 'WBC', 'Platelets'),
        palette=[(0, 114, 178), (0, 0, 0), (213, 94, 0)],
    ),
)
bccd = dict(
    train=dict(cells, ann_file='annotations/train.json'),
    val=dict(cells, ann_file='annotations/val.json', test_mode=True),
    test=dict(cells, ann_file='annotations/test.json', test_mode=True),
    val_evaluator=dict(ann_file=bccd_root + 'annotations/val.json'),
    test_evaluator=dict(ann_file=bccd_root + 'annotations/test.json'),
)
# A microscope has no upside, and shows all cells at one scale.
flip = dict(
    type='RandomFlip',
    prob=0.75,
    direction=['horizontal', 'vertical', 'diagonal'],
)
