"""Logs are read as they were written, and drawn as they were read."""

import json
import math

import numpy as np
import pytest

from mmdet_uot.visualization import draw_curves, read_log
from mmdet_uot.visualization.logs import Curve, TrainingLog


@pytest.fixture
def write(tmp_path):
    """Writes the log of one run as MMEngine does."""

    def write(records, run='20260101_000000', folder='work', end='\n'):
        path = tmp_path / folder / run / 'vis_data' / 'scalars.json'
        path.parent.mkdir(parents=True)
        path.write_text('\n'.join(map(json.dumps, records)) + end)
        return tmp_path / folder

    return write


def epoch(number, *losses, metric=None):
    """An epoch that logs each loss once, then an evaluation."""
    records = [
        dict(lr=0.1, loss=loss, time=1.0, epoch=number, iter=i, step=i)
        for i, loss in enumerate(losses, start=10 * number)
    ]
    if metric is not None:
        records.append({'coco/bbox_mAP': metric, 'time': 9.0, 'step': number})
    return records


def test_a_loss_is_the_mean_of_its_epoch_and_a_metric_that_of_its_own(write):
    log = read_log(write([*epoch(1, 8.0, 6.0), *epoch(2, 5.0, metric=0.25)]))
    assert log.unit == 'epoch'
    assert log.curves == {
        'lr': Curve([1, 2], [0.1, 0.1]),
        'loss': Curve([1, 2], [7.0, 5.0]),
        'coco/bbox_mAP': Curve([2], [0.25]),
    }


def test_a_resumed_run_goes_on_where_it_was_resumed(write):
    """Epochs 2 and 3 of the first run were lost and trained again."""
    write([*epoch(1, 9, metric=0.1), *epoch(2, 5), *epoch(3, 4, metric=0.3)])
    again = [*epoch(2, 6, metric=0.2), *epoch(3, 3), *epoch(4, 2, metric=0.4)]
    log = read_log(write(again, run='20260102_000000'))
    assert log.curves['loss'] == Curve([1, 2, 3, 4], [9, 6, 3, 2])
    assert log.curves['coco/bbox_mAP'] == Curve([1, 2, 4], [0.1, 0.2, 0.4])


def test_a_run_that_starts_anew_replaces_the_first(write):
    write([*epoch(1, 9), *epoch(2, 8), *epoch(3, 7)])
    log = read_log(write(epoch(1, 5), run='20260102_000000'))
    assert log.curves['loss'] == Curve([1], [5])


def test_an_evaluation_alone_is_no_new_training(write):
    write([*epoch(1, 9), *epoch(2, 8, metric=0.1)])
    evaluated = [{'coco/bbox_mAP': 0.1, 'step': 2}]
    log = read_log(write(evaluated, run='20260102_000000'))
    assert log.curves['loss'] == Curve([1, 2], [9, 8])


def test_iterations_are_the_steps_where_no_epochs_are_counted(write):
    """There MMEngine gives an evaluation the number of an epoch."""
    log = read_log(
        write(
            [
                dict(loss=9.0, iter=50, step=50),
                dict(loss=7.0, iter=100, step=100),
                {'coco/bbox_mAP': 0.3, 'step': 0},
                dict(loss=6.0, iter=150, step=150),
            ]
        )
    )
    assert log.unit == 'iteration'
    assert log.curves['loss'] == Curve([50, 100, 150], [9, 7, 6])
    assert log.curves['coco/bbox_mAP'] == Curve([100], [0.3])


def test_the_line_that_a_training_is_writing_is_not_read(write):
    folder = write([*epoch(1, 9), *epoch(2, 8)], end='\n{"loss": 3.0, "epo')
    assert read_log(folder).curves['loss'] == Curve([1, 2], [9, 8])


@pytest.mark.parametrize('records', [None, []])
def test_a_folder_without_logs_is_an_error(records, write, tmp_path):
    if records is not None:
        write(records, end='')
    with pytest.raises(ValueError, match=r"no logs in '.*work'"):
        read_log(tmp_path / 'work')


LOGS = {
    'ot': TrainingLog(
        'epoch',
        {
            'loss': Curve([1, 2, 3], [9.0, 5.0, 3.0]),
            'd0.loss_cls': Curve([1, 2, 3], [4.0, 3.0, 2.0]),
            'coco/bbox_mAP': Curve([3], [0.4]),
        },
    ),
    'hungarian': TrainingLog(
        'epoch',
        {
            'loss': Curve([1, 2], [9.5, 7.0]),
            'grad_norm': Curve([1, 2], [40.0, 30.0]),
        },
    ),
}


def lines_of(axes):
    return [
        (line.get_xdata().tolist(), line.get_ydata().tolist())
        for line in map(as_arrays, axes.lines)
    ]


def as_arrays(line):
    line.set_data(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()))
    return line


def test_lines_are_the_curves(axes_of):
    axes = axes_of(draw_curves(LOGS))
    assert [*axes] == ['loss', 'coco/bbox_mAP']
    loss = [tuple(log.curves['loss']) for log in LOGS.values()]
    assert lines_of(axes['loss']) == loss
    assert lines_of(axes['coco/bbox_mAP']) == [([3], [0.4])]
    assert {panel.get_xlabel() for panel in axes.values()} == {'epoch'}


def test_a_training_looks_the_same_in_all_panels_and_in_the_legend(axes_of):
    figure = draw_curves(LOGS, keys=['loss', 'grad_norm'])
    axes = axes_of(figure)

    def looks(line):
        return line.get_color(), line.get_linestyle(), line.get_marker()

    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    by_name = dict(zip(names, map(looks, legend.get_lines())))
    assert [*by_name] == ['ot', 'hungarian']
    ot, hungarian = axes['loss'].lines
    (alone,) = axes['grad_norm'].lines
    assert looks(ot) == by_name['ot']
    assert looks(hungarian) == looks(alone) == by_name['hungarian']
    assert all(a != b for a, b in zip(*by_name.values()))


def test_zero_and_all_values_are_in_view(axes_of):
    curves = {
        'loss': Curve([1, 2, 3], [45.0, math.nan, 40.0]),
        'loss_rank': Curve([1, 2], [-3.0, 2.0]),
        'bbox_mAP': Curve([1, 2], [0.0, 0.0]),
    }
    axes = axes_of(draw_curves({'one': TrainingLog('epoch', curves)}))
    for name, (_, values) in curves.items():
        low, high = axes[name].get_ylim()
        finite = [value for value in values if math.isfinite(value)]
        assert low < min(0, *finite)
        assert high > max(0, *finite)


def test_a_key_that_nobody_logged_is_an_error():
    with pytest.raises(ValueError, match=r"\['los'\]; there are: loss, .*mAP"):
        draw_curves(LOGS, keys=['loss', 'los'])
    log = TrainingLog('epoch', {'lr': Curve([1], [0.1])})
    with pytest.raises(ValueError, match='a loss or mAP; there are: lr'):
        draw_curves({'one': log})
