#!/usr/bin/env python
"""Draws the losses and the AP of several trainings, from their logs.

python tools/plot_convergence.py
python tools/plot_convergence.py work_dirs/detr_ot work_dirs/detr_hungarian
python tools/plot_convergence.py work_dirs/* --keys loss coco/bbox_mAP_50
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmdet_uot._one_line import errors_in_one_line
from mmdet_uot.visualization import draw_curves, read_log
from mmdet_uot.visualization.logs import LOGS, TrainingLog
from mmdet_uot.visualization.style import save


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw the curves of trainings.'
    )
    add = parser.add_argument
    add(
        'work_dirs',
        nargs='*',
        metavar='WORK_DIR',
        help='work directory of a training; resumed runs are joined; '
        'default: all in work_dirs',
    )
    add(
        '--labels',
        nargs='+',
        help='names of the trainings; default: those of the directories',
    )
    add(
        '--keys',
        nargs='+',
        help='what to draw, as the logs name it; default: the losses of the '
        'last layer and mAP',
    )
    add(
        '--out',
        type=Path,
        default=Path('work_dirs/convergence.png'),
        help='the picture (default: %(default)s)',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with errors_in_one_line():
        logs = read_logs(args.work_dirs or find_work_dirs(), args.labels)
        save(draw_curves(logs, args.keys), args.out)


def find_work_dirs() -> list[str]:
    found = {
        str(log.parents[2]) for log in Path('work_dirs').glob(f'*/{LOGS}')
    }
    if not found:
        raise ValueError(
            'no training in the folder work_dirs; give the work_dir of one'
        )
    return sorted(found)


def read_logs(
    work_dirs: list[str], labels: list[str] | None
) -> dict[str, TrainingLog]:
    labels = labels or [
        Path(work_dir).resolve().name for work_dir in work_dirs
    ]
    if len(labels) != len(work_dirs):
        raise ValueError(
            f'--labels must give {len(work_dirs)} names, got {len(labels)}'
        )
    if len({*labels}) < len(labels):
        raise ValueError(
            f'the trainings need different names, got {labels}; give --labels'
        )
    return {
        label: read_log(work_dir) for label, work_dir in zip(labels, work_dirs)
    }


if __name__ == '__main__':
    main()
