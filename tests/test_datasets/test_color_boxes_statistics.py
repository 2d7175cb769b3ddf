import numpy as np
import pytest

from mmdet_uot.datasets.color_boxes import ColorBoxesOptions, ensure_split
from mmdet_uot.datasets.color_boxes.picture import save_picture
from mmdet_uot.datasets.color_boxes.report import (
    check_statistics,
    format_report,
)
from mmdet_uot.datasets.color_boxes.statistics import Uniform, measure

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """The first 120 images of the training split of Appendix I."""
    root = tmp_path_factory.mktemp('appendix_i')
    ensure_split(root, 'train', num_images=120)
    return root


@pytest.fixture(scope='module')
def stats(root):
    return measure(root, 'train')


def test_a_split_agrees_with_appendix_i(stats):
    checks = check_statistics(stats)
    assert len(checks) == 10
    assert all(check.passed for check in checks), checks
    assert [len(quantity.edges) - 1 for quantity in stats.uniform] == [
        31, 20, 17, 18,
    ]  # fmt: skip
    assert len(stats.coco['annotations']) == stats.uniform[0].values.sum()


def test_a_split_with_other_options_does_not_pass_for_them(stats):
    lied = ColorBoxesOptions(
        max_objects=40, noise_std=0.06, max_iou=0.2, image_size=(400, 400)
    )
    names = {
        check.name
        for check in check_statistics(
            type(stats)(**{**vars(stats), 'options': lied})
        )
        if not check.passed
    }
    assert names == {
        'image size',
        'highest IoU of two boxes',
        'standard deviation of noise',
    }


def test_uneven_numbers_are_not_uniform():
    rng = np.random.default_rng(0)
    edges = np.linspace(0, 1, 11)
    even = Uniform('even', rng.random(1000), edges)
    uneven = Uniform('uneven', rng.random(1000) ** 1.5, edges)
    assert even.p_value > 0.01
    assert uneven.p_value < 1e-6


def test_report_and_picture(root, stats, tmp_path):
    text = format_report(stats, 'train')
    assert text.startswith('train: 120 images')
    assert 'uniform, 0 to 30' in text
    assert '\nNO' not in text
    save_picture(stats, root, 'train', tmp_path / 'report.png')
    assert (tmp_path / 'report.png').stat().st_size > 10_000


def test_a_set_without_objects_can_be_reported(tmp_path):
    options = ColorBoxesOptions(max_objects=0, noise_std=0)
    ensure_split(tmp_path, 'val', num_images=2, options=options)
    stats = measure(tmp_path, 'val')
    assert 'none' in format_report(stats, 'val')
    save_picture(stats, tmp_path, 'val', tmp_path / 'report.png')
