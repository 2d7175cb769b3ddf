"""What is said of an object is true."""

import re

import pytest
import torch

from mmdet_uot.explain.anchors import anchor_levels, levels_of, padded_shape
from mmdet_uot.explain.question import ENOUGH
from mmdet_uot.explain.reasons import explain_objects, find_ways

NO_AREA = 5


def is_served(question, j):
    """Looked up in what the training gets."""
    record = question.record
    if record.result is not None:
        return bool((record.result.gt_inds == j + 1).any())
    plan = record.plan
    least, greatest = plan.gt_asked[:, 0, j]
    got = plan.gt_marginal[0, j]
    beyond = plan.gt_range is not None and ENOUGH * got > greatest
    return got >= ENOUGH * least and not beyond


@pytest.mark.parametrize(
    'name',
    [
        'SSD',
        'SSD, closest',
        'SSD, candidates',
        'SSD, range',
        'DETR',
        'RetinaNet',
    ],
)
def test_the_setting_that_is_named_gives_the_object_its_mass(ask, name):
    question = ask(name)
    named = set()
    for j, reason in enumerate(explain_objects(question)):
        if reason.setting is None:
            assert is_served(question, j) or j == NO_AREA
        else:
            assert not is_served(question, j)
            assert is_served(ask(name, **reason.setting), j), reason
            named |= {*reason.setting}
    assert named


def test_every_way_is_a_way_and_the_background_no_greater_than_need_be(ask):
    question = ask('SSD')
    kinds = set()
    for way in find_ways(question):
        for j, setting in enumerate(way.settings):
            if setting is not None:
                assert is_served(ask('SSD', **setting), j)
                kinds |= {*setting}
    assert kinds >= {'background_cost', 'tau2'}
    for j, setting in enumerate(find_ways(question)[0].settings):
        if setting is not None:
            less = setting['background_cost'] - 0.05
            assert not is_served(ask('SSD', background_cost=less), j)


def test_the_closest_anchor_is_the_closest(ask):
    question = ask('SSD')
    reasons = explain_objects(question)
    found = 0
    for ious, reason in zip(question.ious, reasons):
        said = re.search(r'IoU (\S+) < (\S+) = 1 - background_cost', reason[0])
        if said:
            found += 1
            assert float(said[1]) == round(ious.max().item(), 2)
            assert float(said[2]) == 0.5
    assert found == 2


def test_a_box_without_area_is_said_to_have_none(ask):
    text, setting = explain_objects(ask('SSD'))[NO_AREA]
    assert 'no area' in text
    assert setting is None


def test_who_excludes_all_is_named(ask):
    text, setting = explain_objects(ask('SSD, candidates'))[2]
    assert text.startswith(
        'It takes no part: InsideBox excludes all 8732 anchors. The closest '
    )
    assert setting is None
    rules = [
        dict(type='InsideBox', priors='boxes'),
        dict(type='IoUAbove', threshold=0.3),
    ]
    reasons = explain_objects(ask('SSD', candidates=rules))
    assert 'InsideBox and IoUAbove together exclude all' in reasons[3].text
    either = dict(type='AnyCandidate', rules=rules)
    reasons = explain_objects(ask('SSD', candidates=either))
    assert 'InsideBox or IoUAbove excludes all' in reasons[2].text


def test_only_candidates_are_said_to_be_the_closest(ask):
    question = ask('SSD, candidates')
    text = explain_objects(question)[3].text
    allowed = question.candidates[3]
    ious = question.ious[3]
    assert f'the closest of {int(allowed.sum())} anchors that' in text
    assert f'IoU {ious[allowed].max():.2f} < 0.5' in text
    assert ious[~allowed].max() > ious[allowed].max()
    assert f'excludes a closer one, IoU {ious[~allowed].max():.2f}' in text


def test_who_gets_more_than_the_range_is_told(ask):
    question = ask('SSD, range')
    got = question.record.plan.gt_marginal[0, :-1].tolist()
    for mass, (text, _) in zip(got[:NO_AREA], explain_objects(question)):
        assert text.startswith(
            f'It gets {mass:.2f} (it asks for 1.00 to 3.00)'
        )
        assert (': too much' in text) == (0.9 * mass > 3)
    assert max(got) > 4
    held = ask('SSD, at least')
    assert not held.answer.too_much.any()
    assert '(it asks for 1.00 or more)' in explain_objects(held)[0].text


def test_nothing_is_too_little_for_who_asks_for_nothing_at_least(ask):
    question = ask('SSD', gt_mass=(0, 2), tau1='inf', tau2='inf')
    assert question.answer.got[:NO_AREA].min() < 0.1
    assert question.answer.served[:NO_AREA].all()
    assert all(x.setting is None for x in explain_objects(question))


def test_levels_are_those_of_the_head(build, ask):
    for name in ('SSD', 'RetinaNet'):
        model, question = build(name), ask(name)
        shape = padded_shape(model, (300, 300))
        levels = anchor_levels(model, shape)
        head = model.bbox_head
        with torch.no_grad():
            image = torch.zeros(1, 3, *shape)
            scores, _ = model.eval()(image, mode='tensor')
        sizes = [score.shape[2:] for score in scores]
        expected = head.prior_generator.grid_priors(sizes, device='cpu')
        assert all(torch.equal(a, b) for a, b in zip(levels, expected))
        found = levels_of(question.record.boxes, levels)
        assert found.bincount().tolist() == [len(x) for x in levels]
        some = question.record.boxes[::7]
        assert torch.equal(levels_of(some, levels), found[::7])
        assert levels_of(some + 0.3, levels) is None


@pytest.mark.parametrize(
    'name', ['SSD, stock', 'DETR, stock', 'RetinaNet, stock']
)
def test_stock_assigners_are_said_to_have_matched_what_they_did(ask, name):
    question = ask(name)
    matched = question.record.plan.weights[0].argmax(1)
    for j, (text, setting) in enumerate(explain_objects(question)):
        count = int((matched == j).sum())
        assert re.search(rf'matched {count} (prediction|anchor)', text)
        assert setting is None


def test_contested_predictions_are_named(ask):
    """Of two objects in one place the first one gets all."""
    boxes = torch.tensor([[10.0, 20, 90, 100]] * 2)
    question = ask('SSD, closest', boxes)
    assert question.answer.served.tolist() == [True, False]
    assert 'go to the objects 0.' in explain_objects(question)[1].text


def test_settings_leave_the_assigner_as_it_is(ask):
    question = ask('SSD')
    assigner = question.assigner
    before = assigner.cost.background_cost, assigner.mass, assigner.solver
    explain_objects(question)
    after = assigner.cost.background_cost, assigner.mass, assigner.solver
    assert before == after
