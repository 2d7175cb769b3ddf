#!/usr/bin/env python
"""Draws images of a config's dataset with their boxes on one sheet.

python tools/browse_color_boxes.py
python tools/browse_color_boxes.py configs/detr_ot.py --split val --count 12
python tools/browse_color_boxes.py my_config.py --names
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.runner import set_random_seed

from mmdet_uot._config_scope import config_folder
from mmdet_uot._one_line import errors_in_one_line
from mmdet_uot._tools import (
    add_config_options,
    find_config,
)
from mmdet_uot.matched_images.samples import class_names, load_dataset
from mmdet_uot.matched_images.samples_figure import draw_samples
from mmdet_uot.visualization.style import save

CONFIG = 'ssd300_uot_cpu.py'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw images as the detector of a config sees them, '
        'augmented where it trains on them.'
    )
    add = parser.add_argument
    add(
        'config',
        nargs='?',
        default=str(config_folder() / CONFIG),
        help=f'path of the config file (default: our {CONFIG})',
    )
    add(
        '--split',
        choices=('train', 'val', 'test'),
        default='train',
        help='whose dataloader (default: %(default)s)',
    )
    add(
        '--first',
        type=int,
        default=0,
        help='index of the first image (default: %(default)s)',
    )
    add(
        '--count',
        type=int,
        default=9,
        help='number of images (default: %(default)s)',
    )
    add('--names', action='store_true', help='write the classes into boxes')
    add(
        '--out',
        type=Path,
        default=Path('work_dirs/color_boxes.png'),
        help='the picture (default: %(default)s)',
    )
    add_config_options(parser)
    args = parser.parse_args(argv)
    if args.count < 1 or args.first < 0:
        raise SystemExit(
            'error: --count must be at least 1 and --first at least 0'
        )
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with errors_in_one_line():
        cfg = Config.fromfile(find_config(args.config))
        cfg.merge_from_dict(args.cfg_options)
        save(draw(cfg, args), args.out)


def draw(cfg: Config, args: argparse.Namespace) -> Figure:
    dataset = load_dataset(cfg, args.split)
    indices = range(len(dataset))[args.first :][: args.count]
    if not indices:
        raise ValueError(
            f'--first {args.first}: the dataset has {len(dataset)} images'
        )
    # The same augmentation every time.
    set_random_seed(0)
    return draw_samples(
        [dataset[index] for index in indices],
        classes=class_names(dataset) if args.names else None,
        title=f'{Path(args.config).stem}, {args.split}',
    )


if __name__ == '__main__':
    main()
