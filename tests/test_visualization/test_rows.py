"""Which predictions are drawn."""

import numpy as np
import pytest

from mmdet_uot.visualization.rows import leading_rows, sort_rows

# Predictions 0 to 3 belong to the first ground truth, 4 to the second.
WEIGHTS = np.array(
    [[0.9, 0], [0.8, 0], [0.95, 0.01], [0, 0], [0, 0.1], [0.2, 0]]
)


def test_the_heaviest_of_each_comes_first_then_the_second_heaviest():
    assert leading_rows(WEIGHTS, 9).tolist() == [2, 4, 0, 1, 5, 3]


@pytest.mark.parametrize('count', range(7))
def test_fewer_rows_are_the_first_of_more(count):
    rows = leading_rows(WEIGHTS, count)
    assert rows.tolist() == leading_rows(WEIGHTS, 9)[:count].tolist()


def test_every_matched_ground_truth_has_a_row_where_there_is_room():
    rng = np.random.default_rng(0)
    weights = rng.random((500, 20)) ** 8
    rows = leading_rows(weights, 20)
    assert {*weights[rows].argmax(1)} == {*range(20)}
    assert {*rows} == {
        max(of_one, key=lambda row: weights[row].max())
        for gt in range(20)
        for of_one in [(weights.argmax(1) == gt).nonzero()[0]]
    }


def test_rows_are_sorted_by_ground_truth_and_mass():
    rows = sort_rows(WEIGHTS, np.arange(6))
    assert rows.tolist() == [2, 0, 1, 5, 4, 3]


@pytest.mark.parametrize('shape', [(0, 0), (0, 3), (4, 0)])
def test_nothing_to_match(shape):
    weights = np.zeros(shape)
    rows = leading_rows(weights, 3)
    assert rows.tolist() == [0, 1, 2][: shape[0]]
    assert sort_rows(weights, rows).tolist() == rows.tolist()
