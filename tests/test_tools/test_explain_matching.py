"""The tools that explain, on data that is not as it should be."""

import json
import re

import numpy as np
import pytest
from helpers.tools import load_tool
from mmengine.config import Config
from PIL import Image

EVIL = '</script><script>alert(1)</script>'


@pytest.fixture
def config(tmp_path):
    """Three images, of which one cannot be read; a class with tags."""
    (tmp_path / 'images').mkdir()
    for index in range(3):
        path = tmp_path / f'images/{index}.jpg'
        if index == 1:
            path.write_bytes(b'no image')
        else:
            Image.fromarray(np.zeros((90, 120, 3), np.uint8)).save(path)
    boxes = [[10, 10, 40, 40], [70, 20, 4, 5], [20, 50, 30, 30]]
    data = dict(
        images=[
            dict(id=i, file_name=f'{i}.jpg', width=120, height=90)
            for i in range(3)
        ],
        annotations=[
            dict(
                id=3 * image + number + 1,
                image_id=image,
                category_id=1 + number % 2,
                bbox=box,
                area=box[2] * box[3],
                iscrowd=0,
            )
            for image in range(3)
            for number, box in enumerate(boxes)
        ],
        categories=[dict(id=1, name='cell'), dict(id=2, name=EVIL)],
    )
    (tmp_path / 'boxes.json').write_text(json.dumps(data))
    path = tmp_path / 'base.py'
    path.write_text("_base_ = 'mmdet_uot::ssd300_uot_cpu.py'")
    cfg = Config.fromfile(path)
    cfg.model.bbox_head.num_classes = 2
    dataset = dict(
        type='CocoDataset',
        data_root=str(tmp_path),
        ann_file='boxes.json',
        data_prefix=dict(img='images'),
        metainfo=dict(classes=('cell', EVIL)),
        test_mode=True,
        pipeline=cfg.test_pipeline,
    )
    for split in ('train', 'val'):
        cfg[f'{split}_dataloader'] = dict(batch_size=1, dataset=dataset)
    cfg.dump(tmp_path / 'own.py')
    return str(tmp_path / 'own.py')


def test_a_report_says_what_it_leaves_out(config, tmp_path, capsys):
    out = tmp_path / 'pages/report.html'
    images = ['0', '1', '2.jpg']
    tool = load_tool('explain_matching')
    tool.main([config, '--image', *images, '--out', str(out)])
    printed = capsys.readouterr().out
    assert re.search(r'left out, cannot be read: \S+1.jpg', printed)
    page = out.read_text()
    assert page.count('<script') == page.count('</script>') == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    assert [image['name'] for image in data['images']] == ['0.jpg', '2.jpg']
    labels = {x['label'] for x in data['images'][0]['objects']}
    assert labels == {'cell', EVIL}
    assert any(x['setting'] for x in data['images'][0]['objects'])
    with pytest.raises(SystemExit, match='none of the images can be read'):
        tool.main([config, '--image', '1', '--out', str(out)])
    with pytest.raises(SystemExit, match='FiftyOne is not installed'):
        tool.main([config, '--fiftyone', 'cells', '--out', str(out)])


def test_a_survey_of_anchors_needs_no_pixels(config, tmp_path, capsys):
    load_tool('analyze_matching').main([config, '--out-dir', str(tmp_path)])
    printed = capsys.readouterr().out
    assert '3 images, 9 objects' in printed
    assert '<script>' in printed
    found = json.loads((tmp_path / 'matching.json').read_text())
    assert found['by_class'][1] == {
        'class': EVIL,
        'objects': 3,
        'little': 3,
    }
    assert found['background'][-1]['little'] == 0
    assert found['anchors'][0]['objects'] > 0
    assert (tmp_path / 'matching.png').stat().st_size > 10_000
