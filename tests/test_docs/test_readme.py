"""The configs of the README, as they stand there."""

import re
from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdet_uot.assigners import SinkhornAssigner, UOTAssigner
from mmdet_uot.heads import UOTDETRHead, UOTSSDHead

TEXT = (Path(__file__).parents[2] / 'README.md').read_text()
(DIFF,) = re.findall(r'```diff\n(.*?)```', TEXT, re.S)
(DETR,) = re.findall(r'```python\n(_base_.*?)```', TEXT, re.S)
SSD = re.sub(r'^[ +]', '', DIFF, flags=re.M)


def test_five_lines_are_five():
    assert len(re.findall(r'^\+', DIFF, re.M)) == 5


@pytest.mark.parametrize(
    ('text', 'head', 'assigner'),
    [(SSD, UOTSSDHead, UOTAssigner), (DETR, UOTDETRHead, SinkhornAssigner)],
    ids=['SSD', 'DETR'],
)
def test_the_config_builds_a_head_on_plans(text, head, assigner, tmp_path):
    file = tmp_path / 'config.py'
    file.write_text(text)
    model = Config.fromfile(file).model
    with DefaultScope.overwrite_default_scope('mmdet'):
        built = MODELS.build(
            dict(
                model.bbox_head,
                train_cfg=model.train_cfg,
                test_cfg=model.test_cfg,
            )
        )
    assert type(built) is head
    assert type(built.assigner) is assigner
