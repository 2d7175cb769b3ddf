"""Color Boxes in place of COCO, for configs that build on those of mmdet."""

color_boxes = dict(
    train=dict(
        type='ColorBoxesDataset', data_root='data/color_boxes/', split='train'
    ),
    val=dict(
        type='ColorBoxesDataset',
        data_root='data/color_boxes/',
        split='val',
        test_mode=True,
    ),
    evaluator=dict(ann_file='data/color_boxes/annotations/val.json'),
)
