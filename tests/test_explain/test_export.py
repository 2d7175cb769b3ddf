"""Pages hold what is true, need nothing else, and no name can break them."""

import json
import re
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from helpers.boxes import random_boxes

from mmdet_uot.explain.export import export_image, numbers_of
from mmdet_uot.explain.fiftyone import export_to_fiftyone
from mmdet_uot.explain.inline import build_page

EVIL = '</script><script>alert(1)</script><img src=x onerror=alert(2)>'
CLASSES = ('cell', EVIL, "it's & \u2028")


@pytest.fixture
def export(ask, build, sample):
    def export(name, boxes=None, **options):
        question = ask(name, boxes)
        if boxes is not None:
            sample['data_samples'].gt_instances = question.record.batch.gts[0]
        return question, export_image(
            question, sample, CLASSES, build(name), **options
        )

    return export


def data_of(page):
    found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])


@pytest.mark.parametrize(
    'name',
    [
        'SSD',
        'SSD, candidates',
        'SSD, range',
        'SSD, at least',
        'SSD, stock',
        'DETR',
        'DETR, IoU above',
        'RetinaNet',
        'RetinaNet, stock',
    ],
)
def test_exported_numbers_are_those_of_the_training(export, name):
    question, page = export(name)
    plan = question.record.plan
    for j, entry in enumerate(page['objects']):
        got = float(plan.gt_marginal[0, j])
        assert entry['got'] == pytest.approx(got, abs=1e-3)
        masses = [
            float(plan.weights[0, best['id'], j]) for best in entry['best']
        ]
        assert [best['mass'] for best in entry['best']] == pytest.approx(
            masses, abs=1e-3
        )
        for best in entry['best']:
            for k, mass in best['others']:
                assert k != j
                weight = float(plan.weights[0, best['id'], k])
                assert mass == pytest.approx(weight, abs=1e-3)
    assert ('problem' in page) == (', stock' not in name)
    build_page(name, page)


@pytest.mark.parametrize(
    ('name', 'least', 'at_most'),
    [
        ('SSD', 1, None),
        ('SSD, range', 1, 3),
        ('SSD, at least', 1, 'inf'),
    ],
)
def test_a_range_is_exported_as_one(export, name, least, at_most):
    _, page = export(name)
    *objects, no_area = page['objects']
    for entry in objects:
        assert (entry['asked'], entry['atMost']) == (least, at_most)
        much = at_most == 3 and 0.9 * entry['got'] > 3
        assert entry['tooMuch'] == much
    assert no_area['asked'] == 0
    assert not no_area['tooMuch']
    assert {entry['tooMuch'] for entry in objects} == {False, at_most == 3} - (
        set() if at_most == 3 else {True}
    )


def test_excluded_pairs_are_said_to_be(export):
    question, page = export('SSD, candidates')
    boxes = question.record.boxes
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    found = set()
    for entry in page['objects'][:-1]:
        left, top, right, bottom = entry['box']
        for best in entry['best']:
            x, y = centers[best['id']].tolist()
            inside = left < x < right and top < y < bottom
            assert best['excluded'] == (None if inside else 'InsideBox')
            assert (best['cost'] is not None) == inside
            assert inside or best['mass'] == 0
            found.add(inside)
        # What may be matched comes first.
        excluded = [best['excluded'] is not None for best in entry['best']]
        assert excluded == sorted(excluded)
    assert found == {True, False}


def test_terms_add_up_to_the_cost(export):
    _, page = export('DETR')
    for entry in page['objects'][:-1]:
        for best in entry['best']:
            # 1 - GIoU spans 2.
            total = sum(best['terms'].values()) / 2
            assert best['cost'] == pytest.approx(total, abs=1e-3)


def test_names_cannot_break_the_page(export):
    _, exported = export('SSD')
    page = build_page(EVIL, dict(live=False, images=[exported]))
    assert page.count('<script') == page.count('</script>') == 2
    assert '<img src=x' not in page
    labels = {x['label'] for x in data_of(page)['images'][0]['objects']}
    assert labels <= {*CLASSES}
    assert EVIL in labels


def test_the_page_needs_no_other_file(export):
    page = build_page('title', dict(live=False, images=[]))
    assert not re.search(r'(?:src|href)=|url\(|@import', page)
    _, exported = export('SSD')
    assert exported['picture'].startswith('data:image/jpeg;base64,')


@pytest.mark.parametrize('name', ['SSD', 'SSD, stock', 'DETR'])
def test_an_image_without_objects_is_a_page(export, name):
    _, page = export(name, torch.zeros(0, 4))
    assert page['objects'] == []
    build_page(name, page)


def test_many_objects_are_few_candidates_each(export):
    boxes = random_boxes(10_000, torch.Generator().manual_seed(0))
    question, page = export('DETR', boxes)
    assert len(page['objects']) == 10_000
    pairs = len(page['problem']['column'])
    assert pairs < 100_000
    assert len(build_page('many', page)) < 30e6
    share = len(question.record.boxes) / 10_000
    assert page['objects'][0]['asked'] == pytest.approx(share, abs=1e-3)


def test_exported_candidates_give_the_plan(export):
    """With few candidates most predictions are one row."""
    quickjs = pytest.importorskip(
        'quickjs', reason='quickjs-ng (requirements/tests.txt) runs scripts'
    )
    from mmdet_uot.explain.inline import _FOLDER

    engine = quickjs.Context()
    engine.eval((_FOLDER / 'solver.js').read_text())
    engine.eval(
        'var run = (text) => { const x = JSON.parse(text, (k, v) => '
        'v === "inf" ? Infinity : v); return JSON.stringify('
        '[...solve(x.problem, x.numbers).column]); }'
    )
    for name in (
        'SSD',
        'SSD, candidates',
        'SSD, range',
        'SSD, at least',
        'DETR',
        'DETR, IoU above',
        'RetinaNet',
    ):
        question, page = export(name, candidates=20)
        numbers = numbers_of(question)
        numbers['numIters'] = numbers['iterations']
        text = json.dumps(dict(problem=page['problem'], numbers=numbers))
        got = json.loads(engine.get('run')(text))[:-1]
        expected = [entry['got'] for entry in page['objects']]
        assert got == pytest.approx(expected, rel=0.02, abs=2e-3)


def test_fiftyone_gets_every_object(export, monkeypatch):
    _, page = export('SSD')
    images = [(page, '/images/1.jpg')]
    monkeypatch.setitem(sys.modules, 'fiftyone', None)
    with pytest.raises(ImportError, match='pip install fiftyone'):
        export_to_fiftyone('cells', images)

    class Dataset:
        def __init__(self, name, persistent):
            self.name, self.samples = name, []

        def add_samples(self, samples):
            self.samples += samples

    fake = ModuleType('fiftyone')
    fake.Dataset = Dataset
    fake.Sample = fake.Detections = fake.Detection = SimpleNamespace
    monkeypatch.setitem(sys.modules, 'fiftyone', fake)
    (sample,) = export_to_fiftyone('cells', images).samples
    detections = sample.ground_truth.detections
    assert len(detections) == len(page['objects'])
    for detection, entry in zip(detections, page['objects']):
        left, top, width, height = detection.bounding_box
        assert left + width <= 1
        assert detection.mass == entry['got']
        assert detection.reason == entry['text']
