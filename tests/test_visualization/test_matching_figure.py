"""Lines and marks on an image say what the plan says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmdet_uot.matched_images.example import (
    example_matchers,
    example_problem,
)
from mmdet_uot.ot import TransportPlan, solve
from mmdet_uot.visualization import draw_matchers, draw_matching, to_rgb
from mmdet_uot.visualization.links import (
    BACKGROUND_SHARE,
    LINE_WIDTH,
    centers,
)


def parts(axes):
    """Boxes of predictions, of ground truths, lines, small and large marks."""
    preds, gts, lines, small, large = axes.collections
    return preds, gts, lines, small, large


def test_lines_are_as_wide_as_the_mass_and_join_the_boxes(match, axes_of):
    matched = match()
    axes = axes_of(draw_matching(matched, min_mass=0.1))['image']
    lines = parts(axes)[2]
    weights = matched.weights[:, :-1]
    preds = centers(matched.pred_boxes.numpy())
    gts = centers(matched.gt_boxes.numpy())
    expected = {
        (*preds[i], *gts[j]): LINE_WIDTH * weights[i, j]
        for i, j in np.argwhere(weights > 0.1)
    }
    drawn = dict(
        zip(
            (tuple(x.ravel()) for x in lines.get_segments()),
            lines.get_linewidths(),
        )
    )
    assert drawn == pytest.approx(expected)


@pytest.mark.parametrize('min_mass', [0.02, 0.1, 0.3])
def test_the_note_says_how_much_of_the_mass_the_lines_are(
    min_mass, match, axes_of
):
    matched = match()
    axes = axes_of(draw_matching(matched, min_mass=min_mass))['image']
    weights = matched.weights[:, :-1]
    lines = parts(axes)[2]
    assert len(lines.get_segments()) == (weights > min_mass).sum() > 0
    share = weights[weights > min_mass].sum() / weights.sum()
    assert axes.get_title() == (
        f'lines: pairs above {min_mass}, {share:.0%} of the matched mass'
    )


def test_a_hungarian_match_has_one_line_per_ground_truth(match, axes_of):
    matched = match(N=40, M=7, epsilon=0)
    axes = axes_of(draw_matching(matched))['image']
    *_, lines, small, large = parts(axes)
    assert lines.get_linewidths() == [LINE_WIDTH] * 7
    assert len(large.get_offsets()) == 7
    assert len(small.get_offsets()) == 33
    assert '100% of the matched mass' in axes.get_title()


def test_marks_are_the_whiter_the_more_is_background(match, axes_of):
    matched = match()
    axes = axes_of(draw_matching(matched))['image']
    share = {
        tuple(place): background / total
        for place, background, total in zip(
            centers(matched.pred_boxes.numpy()),
            matched.weights[:, -1],
            matched.weights.sum(1),
        )
    }
    drawn = {}
    for marks in parts(axes)[3:]:
        places = map(tuple, marks.get_offsets().data)
        drawn.update(zip(places, marks.get_array()))
    assert drawn == pytest.approx(share, abs=1e-6)
    lightness = [sum(BACKGROUND_SHARE(x)[:3]) for x in (0.0, 0.5, 1.0)]
    assert lightness == sorted(lightness)
    assert lightness[2] == 3


def test_ignored_predictions_are_not_drawn_as_matched(match, axes_of):
    matched = match(N=5, M=2)
    plan = TransportPlan.from_indices(
        torch.tensor([[0, 1, -1, -1, -1]]),
        2,
        ignored=torch.tensor([[False] * 3 + [True] * 2]),
    )
    axes = axes_of(draw_matching(replace(matched, plan=plan)))['image']
    *_, small, large = parts(axes)
    assert small.get_array().tolist() == [1, 1, 1]
    assert large.get_array().tolist() == [0, 0]


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('value', [torch.nan, torch.inf, -torch.inf])
def test_boxes_that_are_not_finite_are_left_out(value, match, axes_of):
    matched = match(N=6, M=2, epsilon=0)
    boxes = matched.pred_boxes.clone()
    row = matched.weights[:, 0].argmax()
    boxes[row, 2] = value
    figure = draw_matching(replace(matched, pred_boxes=boxes))
    to_rgb(figure)
    *_, lines, small, large = parts(axes_of(figure)['image'])
    assert len(lines.get_segments()) == len(large.get_offsets()) == 1
    assert len(small.get_offsets()) == 4


def test_predictions_and_ground_truths_have_their_names(match, axes_of):
    matched = match(epsilon=0)
    apart = 12 * torch.arange(12.0)[:, None] + torch.tensor([0, 0, 9, 9])
    image = replace(matched, pred_boxes=apart)
    axes = axes_of(draw_matching(image))['image']
    texts = [text.get_text() for text in axes.texts]
    assert texts[:3] == ['A', 'B', 'C']
    matching = matched.weights[:, :-1].sum(1).nonzero()[0]
    assert sorted(map(int, texts[3:])) == matching.tolist()


def test_no_number_is_written_where_it_could_not_be_read(match, axes_of):
    matched = match(N=3, M=3, epsilon=0)
    boxes = matched.pred_boxes[:1].repeat(3, 1)
    axes = axes_of(draw_matching(replace(matched, pred_boxes=boxes)))['image']
    # Only the mark on top of the others is numbered.
    assert len(axes.texts) == 3 + 1
    # Numbers side by side would read as one.
    mark = 11 / 72 * 160 / 8.8
    beside = boxes + 1.2 * mark * torch.tensor([[0.0], [1.0], [2.0]])
    beside[:, 1::2] = boxes[:, 1::2]
    axes = axes_of(draw_matching(replace(matched, pred_boxes=beside)))['image']
    assert len(axes.texts) == 3 + 2
    # Four digits are wider than a mark.
    boxes = torch.zeros(1001, 4)
    plan = TransportPlan.from_indices(
        torch.full((1, 1001), -1).index_fill_(1, torch.tensor(1000), 0), 1
    )
    one = replace(
        matched, pred_boxes=boxes, gt_boxes=matched.gt_boxes[:1], plan=plan
    )
    assert len(axes_of(draw_matching(one))['image'].texts) == 1


def test_every_ground_truth_keeps_its_line_where_many_have_more(
    match, axes_of
):
    """500 predictions of the first, one of each of the others."""
    matched = match(N=510, M=6)
    indices = torch.full((1, 510), -1)
    indices[0, :500] = 0
    indices[0, 500:505] = torch.arange(1, 6)
    plan = TransportPlan.from_indices(indices, 6)
    image = replace(matched, plan=plan)
    axes = axes_of(draw_matching(image, max_preds=20))['image']
    ends = {tuple(x[1]) for x in parts(axes)[2].get_segments()}
    assert len(ends) == 6
    assert '4% of the matched mass' in axes.get_title()


def test_a_thin_match_says_why_it_has_no_lines(match, axes_of):
    axes = axes_of(draw_matching(match(N=100, M=1, epsilon=1)))['image']
    assert len(parts(axes)[2].get_segments()) == 0
    assert axes.get_title().startswith('no lines: the mass is spread')


def test_an_image_without_ground_truths_says_so(match, axes_of):
    axes = axes_of(draw_matching(match(M=0)))['image']
    assert axes.get_title().startswith('no ground truths')


def test_the_legend_names_every_mark_and_three_widths(match):
    (legend,) = draw_matching(match()).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        'ground truth',
        'matched prediction',
        'half background',
        'background',
        'mass 1',
        '0.5',
        '0.1',
    ]
    widths = [line.get_linewidth() for line in legend.get_lines()[-3:]]
    assert widths == [LINE_WIDTH, 0.5 * LINE_WIDTH, 0.1 * LINE_WIDTH]


def test_the_example_is_solved_by_the_four_matchers(axes_of):
    problem, matchers = example_problem(), example_matchers()
    settings = [(0, np.inf), (0.05, np.inf), (0.05, 0.1), (0, 0.0)]
    axes = axes_of(draw_matchers(matchers))
    for heading, (epsilon, tau2) in zip(matchers, settings):
        plan = solve(problem, epsilon=epsilon, tau2=tau2, num_iters=1000)
        assert torch.equal(matchers[heading].plan.weights, plan.weights)
        assert rf'\epsilon = {epsilon:g}$' in heading
        foreground, background = axes[f'{heading}: plan'].images
        np.testing.assert_array_equal(
            np.nan_to_num(foreground.get_array())
            + np.nan_to_num(background.get_array()),
            plan.weights[0],
        )
        lines = parts(axes[f'{heading}: image'])[2]
        assert len(lines.get_segments()) == (plan.foreground > 0.1).sum()


def test_the_example_shows_what_its_headings_say():
    hungarian, balanced, unbalanced, closest = (
        x.plan.foreground[0] for x in example_matchers().values()
    )
    # One prediction per object.
    assert hungarian.sum(0).tolist() == [1, 1, 1, 1]
    assert (hungarian == 1).sum() == 4
    # Predictions share an object.
    torch.testing.assert_close(balanced.sum(0), torch.ones(4))
    torch.testing.assert_close(balanced[3], balanced[4])
    assert ((balanced > 0.05).sum(0) > 1).sum() >= 2
    # An object takes more, or less.
    assert unbalanced.sum(0).max() > 1.5
    assert unbalanced.sum(0).min() < 0.8
    # Each takes its nearest; nothing is near enough to the last.
    assert closest.sum(0).tolist() == [2, 1, 3, 0]
    assert {*closest.sum(1).tolist()} == {0, 1}


def test_matchers_of_different_predictions_are_an_error(match):
    with pytest.raises(ValueError, match='same predictions'):
        draw_matchers({'one': match(N=12), 'other': match(N=13)})
