"""How a match changes: the bars and the share that is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from mmdet_uot.ot import TransportPlan
from mmdet_uot.visualization import draw_epochs
from mmdet_uot.visualization.epochs_figure import CELL
from mmdet_uot.visualization.style import BLUE, GRAY, VERMILLION


def weights_of(axes, color):
    """(n, M) of the bars of one colour."""
    bars = [x for x in axes.patches if to_hex(x.get_facecolor()) == color]
    rows = len(axes.get_yticks())
    return np.array([x.get_width() / CELL for x in bars]).reshape(rows, -1)


def rows_of(axes):
    return [int(label.get_text()) for label in axes.get_yticklabels()]


@pytest.fixture
def epochs(match):
    """Three epochs of a Hungarian match of four ground truths."""
    matched = match(N=20, M=4)
    plans = ([0, 1, 2, 3], [0, 1, 3, 2], [0, 5, 6, 7])
    images = {}
    for epoch, predictions in enumerate(plans, start=1):
        indices = torch.full((1, 20), -1)
        indices[0, predictions] = torch.arange(4)
        plan = TransportPlan.from_indices(indices, 4)
        images[f'epoch {epoch}'] = replace(matched, plan=plan)
    return images


def test_titles_say_what_share_is_kept(epochs, axes_of):
    axes = axes_of(draw_epochs({'Hungarian': epochs}))
    titles = [axes[f'Hungarian, epoch {i}'].get_title() for i in (1, 2, 3)]
    assert titles == ['epoch 1', 'epoch 2\n50% kept', 'epoch 3\n25% kept']


def test_bars_are_the_weights_kept_and_new(match, axes_of):
    """A soft match, against the minimum computed one by one."""
    images = {'1': match(seed=0), '2': match(seed=1)}
    axes = axes_of(draw_epochs({'soft': images}))
    before, after = (image.weights[:, :-1] for image in images.values())
    rows = rows_of(axes['soft, 1'])
    ever = (np.maximum(before, after) > 0.05).any(1).nonzero()[0]
    assert sorted(rows) == ever.tolist()
    first, second = axes['soft, 1'], axes['soft, 2']
    np.testing.assert_allclose(
        weights_of(first, GRAY), before[rows], atol=1e-6
    )
    kept = weights_of(second, BLUE.lower())
    new = weights_of(second, VERMILLION.lower())
    for row, i in enumerate(rows):
        for j in range(3):
            least = min(before[i, j], after[i, j])
            assert kept[row, j] == pytest.approx(least, abs=1e-6)
            assert new[row, j] == pytest.approx(after[i, j] - least, abs=1e-6)
    share = np.minimum(before, after).sum() / after.sum()
    assert second.get_title() == f'2\n{share:.0%} kept'


def test_what_does_not_change_is_all_kept(match, axes_of):
    matched = match()
    axes = axes_of(draw_epochs({'same': {'1': matched, '2': matched}}))
    assert axes['same, 2'].get_title() == '2\n100% kept'
    assert (weights_of(axes['same, 2'], VERMILLION.lower()) == 0).all()


def test_each_matcher_has_a_row_of_panels_and_predictions_of_its_own(
    epochs, match, axes_of
):
    soft = {name: match(N=50, M=4) for name in epochs}
    axes = axes_of(draw_epochs({'hard': epochs, 'soft': soft}))
    assert [*axes] == ['image'] + [
        f'{matcher}, {epoch}' for matcher in ('hard', 'soft') for epoch in soft
    ]
    for matcher, N in (('hard', 20), ('soft', 50)):
        panels = [axes[f'{matcher}, {epoch}'] for epoch in soft]
        rows = rows_of(panels[0])
        assert all(len(panel.get_yticks()) == len(rows) for panel in panels)
        label = f'{len(rows)} of {N}\npredictions'
        assert panels[0].get_ylabel() == label
        assert matcher in [text.get_text() for text in panels[0].texts]


def test_a_thin_match_is_drawn_larger_and_says_so(match, axes_of):
    thin = match(N=100, M=2, epsilon=1)
    axes = axes_of(draw_epochs({'soft': {'1': thin, '2': thin}}))
    weights = thin.weights[:, :-1]
    panel = axes['soft, 1']
    drawn = weights_of(panel, GRAY)
    assert drawn.max() == pytest.approx(1)
    expected = weights[rows_of(panel)] / weights.max()
    np.testing.assert_allclose(drawn, expected, atol=1e-6)
    note = f'spread: a full cell is {weights.max():.2g}'
    assert panel.get_xlabel() == note


def test_the_legend_says_what_colours_are(epochs):
    (legend,) = draw_epochs({'Hungarian': epochs}).legends
    colors = {
        text.get_text(): to_hex(patch.get_facecolor())
        for text, patch in zip(legend.get_texts(), legend.get_patches())
    }
    assert colors == {
        'matched mass (a full cell is 1)': GRAY,
        'kept from the epoch before': BLUE.lower(),
        'new': VERMILLION.lower(),
    }


def test_epochs_of_different_models_are_an_error(match):
    with pytest.raises(ValueError, match='one image and one model'):
        draw_epochs({'a': {'1': match(N=12), '2': match(N=13)}})
