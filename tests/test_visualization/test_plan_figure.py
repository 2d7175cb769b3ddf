"""The heat map of a plan says what the plan says."""

import math

import numpy as np
import pytest
import torch
from matplotlib.text import Text

from mmdet_uot.ot import MatchingProblem, hungarian, sinkhorn
from mmdet_uot.visualization import MatchedImage, draw_plan

BACKGROUND = r'$\varnothing$'


def rows_of(axes):
    return [int(label.get_text()) for label in axes.get_yticklabels()]


def cells(axes):
    """(n, M + 1) values of the two heat maps."""
    parts = [image.get_array().filled(0) for image in axes.images]
    return parts[0] + parts[1]


@pytest.mark.parametrize('tau2', [math.inf, 0.05])
def test_cells_and_bars_are_weights_and_marginals(tau2, match, axes_of):
    plan = match(tau2=tau2).plan
    axes = axes_of(draw_plan(plan))
    rows = rows_of(axes['plan'])
    weights = plan.weights[0].numpy()
    assert sorted(rows) == [*range(12)]
    np.testing.assert_array_equal(cells(axes['plan']), weights[rows])

    received = axes['ground truths'].patches
    heights = [bar.get_height() for bar in received[:-1]]
    np.testing.assert_allclose(heights, plan.gt_marginal[0, :-1], atol=1e-6)
    sent = [bar.get_width() for bar in axes['predictions'].patches]
    foreground, background = sent[:12], sent[12:]
    np.testing.assert_allclose(
        foreground, weights[rows, :-1].sum(1), atol=1e-6
    )
    np.testing.assert_allclose(background, weights[rows, -1], atol=1e-6)
    np.testing.assert_allclose(
        np.add(foreground, background), plan.pred_marginal[0][rows], atol=1e-6
    )


def test_marks_are_at_the_masses_asked_for(match, axes_of):
    plan = match(tau2=0.05).plan
    axes = axes_of(draw_plan(plan))
    (marks,) = axes['ground truths'].collections
    heights = [segment[0, 1] for segment in marks.get_segments()]
    np.testing.assert_allclose(heights, [1, 1, 1, 9], atol=1e-6)
    (marks,) = axes['predictions'].collections
    widths = [segment[0, 0] for segment in marks.get_segments()]
    np.testing.assert_allclose(widths, 1, atol=1e-6)


def test_both_ends_of_a_range_are_marked(axes_of):
    def marks(at_most):
        problem = MatchingProblem.from_masks(
            # The background is cheaper than any object.
            torch.tensor([1.0, 1.0, 1.0, 0.0]).expand(1, 12, 4),
            torch.ones(1, 3, dtype=torch.bool),
            torch.ones(1, 12, dtype=torch.bool),
            at_most=at_most,
        )
        plan = sinkhorn(problem, epsilon=0.05)
        axes = axes_of(draw_plan(plan))['ground truths']
        found = [x.get_segments() for x in axes.collections]
        return [
            [x[:, 1].tolist() for x in part if len(x)] for part in found
        ], axes

    (least, greatest, between), axes = marks(3.0)
    close = np.testing.assert_allclose
    close(np.mean(least, 1), [1, 1, 1, 3], rtol=1e-6)
    close(np.mean(greatest, 1), [3, 3, 3, 9], rtol=1e-6)
    top = axes.get_ylim()[1]
    close(between, [[1, 3], [1, 3], [1, 3], [3, top]], rtol=1e-6)
    assert axes.get_title(loc='right').endswith('3.0 to 9.0 asked for')
    # Without an upper end the line goes on.
    (_, _, between), axes = marks(math.inf)
    top = axes.get_ylim()[1]
    assert math.isfinite(top)
    close([high for _, high in between[:3]], top)


def test_numbers_are_the_weights_from_half_a_hundredth_on(match, axes_of):
    plan = match().plan
    axes = axes_of(draw_plan(plan))['plan']
    weights = plan.weights[0].numpy()[rows_of(axes)]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {
        (column, row): f'{mass:.2f}'
        for (row, column), mass in np.ndenumerate(weights)
        if mass >= 0.005
    }


def test_a_bar_that_is_cut_off_has_its_length_written_beside_it(
    match, axes_of
):
    axes = axes_of(draw_plan(match(N=1200).plan))['ground truths']
    height = axes.patches[-1].get_height()
    assert height == pytest.approx(axes.get_ylim()[1])
    assert height < 1197
    title = axes.get_title(loc='right')
    assert title == 'bar cut off: 1,197.0 received, 1,197.0 asked for'
    axes = axes_of(draw_plan(match(N=4).plan))['ground truths']
    assert axes.get_title(loc='right') == ''


def test_rows_and_columns_of_padding_are_left_out(axes_of):
    costs = [torch.rand(9, 5), torch.rand(6, 2)]
    problem = MatchingProblem.from_costs(costs, background_cost=0.5)
    plan = sinkhorn(problem, epsilon=0.05)
    alone = MatchingProblem.from_costs(costs[1:], background_cost=0.5)
    figures = (
        draw_plan(plan, index=1, num_gts=2),
        draw_plan(sinkhorn(alone, epsilon=0.05)),
    )
    parts = []
    for figure in figures:
        axes = axes_of(figure)
        names = [x.get_text() for x in axes['plan'].get_xticklabels()]
        assert names == ['A', 'B', BACKGROUND]
        assert sorted(rows_of(axes['plan'])) == [*range(6)]
        bars = axes['predictions'].patches + axes['ground truths'].patches
        sizes = [(bar.get_width(), bar.get_height()) for bar in bars]
        parts.append((cells(axes['plan']), sizes))
    for padded, single in zip(*parts):
        np.testing.assert_allclose(padded, single, atol=1e-5)


def test_of_many_predictions_each_ground_truth_has_its_own(match, axes_of):
    plan = match(N=300, M=25, epsilon=0).plan
    axes = axes_of(draw_plan(plan))['plan']
    rows = rows_of(axes)
    matched = plan.foreground[0].sum(1).nonzero()[:, 0]
    assert sorted(rows) == matched.tolist()
    assert axes.get_ylabel() == 'prediction (25 of 300 drawn)'
    # Sorted by ground truth, the matched cells are the diagonal.
    assert np.array_equal(cells(axes)[:, :-1], np.eye(25))


def test_without_ground_truths_the_background_gets_all(match, axes_of):
    matched = match(M=0)
    axes = axes_of(draw_plan(matched.plan))
    assert (cells(axes['plan']) == 1).all()
    assert axes['plan'].get_xticklabels()[0].get_text() == BACKGROUND
    assert (
        axes['ground truths']
        .get_title(loc='right')
        .startswith('bar cut off: 12.0 received')
    )


def test_more_ground_truths_than_predictions_leave_no_background(axes_of):
    cost = torch.rand(2, 5)
    plan = hungarian(MatchingProblem.from_costs([cost], 0.5))
    axes = axes_of(draw_plan(plan))['ground truths']
    heights = [bar.get_height() for bar in axes.patches]
    assert sum(heights) == 2
    assert heights[-1] == 0


def test_a_key_says_what_bars_marks_and_colours_are(match):
    figure = draw_plan(match().plan, title='Plan of epoch 3')
    (legend,) = (
        axes.get_legend() for axes in figure.axes if axes.get_legend()
    )
    assert [text.get_text() for text in legend.get_texts()] == [
        'mass asked for',
        'ground truths',
        'background',
    ]
    assert figure._suptitle.get_text() == 'Plan of epoch 3'
    texts = {text.get_text() for text in figure.findobj(Text)}
    assert {
        'mass $N P_{ij}$',
        'prediction (12 of 12 drawn)',
        f'ground truth ({BACKGROUND}: background)',
    } <= texts


def test_boxes_of_another_plan_are_an_error(match):
    matched = match()
    for preds, gts in (
        (matched.pred_boxes[1:], matched.gt_boxes),
        (matched.pred_boxes, matched.gt_boxes.repeat(2, 1)),
    ):
        with pytest.raises(ValueError, match='12 predictions and 3 ground'):
            MatchedImage(matched.image, preds, gts, matched.plan)
