"""A survey says of many images what is true of each."""

import math

import pytest
import torch
from helpers.boxes import random_boxes
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData

from mmdet_uot.explain.anchor_sizes import suggest, suggest_anchors
from mmdet_uot.explain.anchors import anchor_levels
from mmdet_uot.explain.export import ask_model
from mmdet_uot.explain.findings import as_lines, draw, summarize
from mmdet_uot.explain.survey import survey_anchors, survey_questions

CLASSES = ('cell', '<script>$x$\n</script>', 'dust')
# Numbers of objects.
COUNTS = (3, 0, 12, 5)


@pytest.fixture
def samples():
    generator = torch.Generator().manual_seed(0)
    samples = []
    for count in COUNTS:
        boxes = random_boxes(count, generator, corner=150.0, side=(3.0, 50.0))
        data = DetDataSample(
            metainfo=dict(img_shape=(300, 300), scale_factor=(1, 1))
        )
        labels = torch.arange(count) % 3
        data.gt_instances = InstanceData(bboxes=boxes, labels=labels)
        data.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
        image = torch.zeros(3, 300, 300, dtype=torch.uint8)
        samples.append(dict(inputs=image, data_samples=data))
    return samples


ALL = (
    'SSD',
    'SSD, closest',
    'SSD, candidates',
    'SSD, range',
    'SSD, stock',
    'RetinaNet',
    'RetinaNet, stock',
)


@pytest.mark.parametrize('name', ALL)
def test_a_batch_is_matched_as_each_of_its_images(build, samples, name):
    model = build(name)
    if name.startswith('RetinaNet'):
        # SSD takes images of one shape.
        samples[-1]['inputs'] = samples[-1]['inputs'][:, :200]
    survey = survey_anchors(model, samples)
    there = [x for x in samples if len(x['data_samples'].gt_instances)]
    questions = [ask_model(model, x) for x in there]
    each = survey_questions(questions)
    for attribute in (
        'labels',
        'boxes',
        'asked',
        'takes_part',
        'excluded',
        'got',
        'served',
        'too_much',
        'mended',
    ):
        torch.testing.assert_close(
            survey.joined(attribute).double(),
            each.joined(attribute).double(),
            rtol=1e-3,
            atol=1e-3,
            equal_nan=True,
            msg=attribute,
        )
    assert survey.images == len(samples)
    # Of each level and of each object the same mass.
    total = survey.joined('got').sum().item()
    assert survey.levels.sum().item() == pytest.approx(total, rel=1e-2)


def test_numbers_are_those_of_the_objects(build, samples):
    survey = survey_anchors(build('SSD'), samples)
    found = summarize(survey, CLASSES)
    little = (~survey.joined('served')).sum().item()
    assert found['objects'] == sum(COUNTS)
    assert found['little'] == little > 0
    for name in ('by_side', 'by_class'):
        assert sum(row['little'] for row in found[name]) == little
        assert sum(row['objects'] for row in found[name]) == sum(COUNTS)
    assert sum(row['objects'] for row in found['sharing']) == sum(COUNTS)
    assert sum(row['share'] for row in found['levels']) == pytest.approx(1)
    for row in found['background']:
        model = build('SSD', background_cost=row['background_cost'])
        after = survey_anchors(model, samples)
        assert (~after.joined('served')).sum() <= row['little'] < little


def test_who_is_excluded_is_not_without_area(build, samples):
    # Between the centres of anchors at 4 and 8 pixels.
    tiny = torch.tensor([5.0, 5, 7, 7])
    samples[0]['data_samples'].gt_instances.bboxes[0] = tiny
    model = build('SSD, candidates')
    survey = survey_anchors(model, samples)
    anchors = torch.cat(anchor_levels(model, (300, 300)))
    x, y = ((anchors[:, :2] + anchors[:, 2:]) / 2).mT.unsqueeze(2)
    left, top, right, bottom = survey.joined('boxes').mT
    inside = (left < x) & (x < right) & (top < y) & (y < bottom)
    found = summarize(survey, CLASSES)
    assert found['excluded'] == (~inside.any(0)).sum() > 0
    assert found['without_area'] == 0
    assert found['too_much'] is None
    assert f'{found["excluded"]} with all predictions' in as_lines(found)[0]
    assert suggest(survey, model) == []


def test_who_asks_for_nothing_is_not_without_area(build, samples):
    for sample in samples:
        gts = sample['data_samples'].gt_instances
        gts.weight = torch.ones(len(gts))
    samples[0]['data_samples'].gt_instances.weight[:2] = 0.0
    gts.bboxes[0, 2:] = gts.bboxes[0, :2]
    found = summarize(survey_anchors(build('SSD, weights'), samples), CLASSES)
    assert found['without_area'] == 1
    assert found['weightless'] == 2
    assert '1 of them without area, 2 that ask for no' in as_lines(found)[0]


def test_who_gets_more_than_the_range_is_counted(build, samples):
    survey = survey_anchors(build('SSD, range'), samples)
    found = summarize(survey, CLASSES)
    assert (survey.joined('asked') == 1).all()
    assert found['too_much'] == (0.9 * survey.joined('got') > 3).sum() > 0
    assert 'get more than their range' in as_lines(found)[2]


def test_names_break_neither_table_nor_picture(build, samples):
    found = summarize(survey_anchors(build('SSD'), samples), CLASSES)
    lines = as_lines(found)
    assert all('\n' not in line for line in lines)
    assert any('<script>$x$?' in line for line in lines)
    draw(found, '$\\frac{').canvas.draw()


@pytest.mark.parametrize('offset', [0.0, 4.0])
def test_a_suggested_anchor_serves_as_many_objects_as_are_said(offset):
    generator = torch.Generator().manual_seed(1)
    boxes = random_boxes(50, generator, corner=250.0, side=(4.0, 30.0))
    strides, offsets = [(8, 8), (32, 32)], [(offset, offset), (16.0, 16.0)]
    found = suggest_anchors(boxes, strides, offsets, 0.5)
    left = torch.ones(len(boxes), dtype=torch.bool)
    assert len(found) == 3
    for level, width, height, objects in found:
        places = torch.arange(40) * strides[level][0] + offsets[level][0]
        x, y = torch.meshgrid(places, places, indexing='xy')
        half = torch.tensor([width, height]) / 2
        middle = torch.stack((x, y), -1).reshape(-1, 2)
        anchors = torch.cat((middle - half, middle + half), 1)
        served = bbox_overlaps(boxes, anchors).amax(1) > 0.5
        assert (served & left).sum() == objects
        left &= ~served
    assert left.sum() < 25


def test_nothing_is_suggested_where_nothing_is_needed():
    assert (
        suggest_anchors(torch.zeros(0, 4), [(8, 8)], [(4.0, 4.0)], 0.5) == []
    )


def test_anchors_that_are_not_those_of_the_head_are_an_error(build, samples):
    """The last strides of SSD300 are those of an image of 300 pixels."""
    samples[0]['inputs'] = torch.zeros(3, 310, 310, dtype=torch.uint8)
    with pytest.raises(ValueError, match='matches other anchors'):
        survey_anchors(build('SSD'), samples)


def test_no_objects_at_all_is_an_error(build, samples):
    with pytest.raises(ValueError, match='no image has objects'):
        survey_anchors(build('SSD'), samples[1:2])


def test_mended_objects_are_those_that_get_too_little(build, samples):
    survey = survey_anchors(build('SSD'), samples)
    mended, served = survey.joined('mended'), survey.joined('served')
    assert mended[served].isnan().all()
    values = mended[~served].tolist()
    assert any(0.5 < value <= 1.5 for value in values if not math.isnan(value))
