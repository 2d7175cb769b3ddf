#!/usr/bin/env python
"""Draws what a detector's predictions are matched to.

python tools/plot_matching.py
python tools/plot_matching.py configs/detr_ot.py work_dirs/detr_ot --image 12
python tools/plot_matching.py configs/detr_ot.py a/epoch_13.pth a/epoch_14.pth
    --versus configs/detr_hungarian.py b/epoch_13.pth b/epoch_14.pth
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from matplotlib.figure import Figure
from mmengine.config import Config

from mmdet_uot._one_line import errors_in_one_line
from mmdet_uot._tools import (
    add_config_options,
    find_checkpoint,
    find_config,
)
from mmdet_uot.matched_images.detector import build_detector, load_weights
from mmdet_uot.matched_images.example import (
    example_matchers,
    example_presets,
    example_problem,
)
from mmdet_uot.matched_images.record import record_matching
from mmdet_uot.matched_images.samples import find_image, load_dataset
from mmdet_uot.visualization import (
    MatchedImage,
    draw_epochs,
    draw_gallery,
    draw_grid,
    draw_matchers,
    draw_matching,
    draw_plan,
)
from mmdet_uot.visualization.style import save


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw what the predictions for an image are matched to: '
        'for DETR and its variants those of the last decoder layer, for SSD '
        'the anchors. Without arguments: a small example.'
    )
    add = parser.add_argument
    add('config', nargs='?', help='path of the config file')
    add(
        'checkpoints',
        nargs='*',
        help='checkpoint file or URL, or a work dir: its latest checkpoint; '
        'of several, the last is drawn, and how the matches change',
    )
    add(
        '--versus',
        nargs='+',
        default=[],
        metavar=('CONFIG', 'CHECKPOINT'),
        help='another detector to compare with, with as many checkpoints',
    )
    add(
        '--image',
        default='0',
        help='index or file name in the validation set (default: %(default)s)',
    )
    add(
        '--out-dir',
        type=Path,
        default=Path('work_dirs/plot_matching'),
        help='folder for the pictures (default: %(default)s)',
    )
    add(
        '--scale',
        type=float,
        default=1.0,
        help='2 for pictures of twice the size (default: %(default)s)',
    )
    add_config_options(parser)
    args = parser.parse_args(argv)
    if args.config and not args.checkpoints:
        raise SystemExit(
            'error: give a checkpoint, or a work dir, after the config'
        )
    if args.versus and len(args.versus) != 1 + len(args.checkpoints):
        raise SystemExit(
            'error: --versus takes a config and as many checkpoints as are '
            f'given before it ({len(args.checkpoints)}), got {args.versus}'
        )
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with errors_in_one_line():
        figures = draw_detectors(args) if args.config else draw_example()
        for name, figure in figures.items():
            save(figure, args.out_dir / f'{name}.png', scale=args.scale)


def draw_example() -> dict[str, Figure]:
    matchers = example_matchers()
    heading = next(name for name in matchers if name.startswith('unbalanced'))
    name, _, settings = heading.split('\n')
    return dict(
        matching=draw_matchers(
            matchers, title='Every matcher is a setting of one solver'
        ),
        plan=draw_plan(matchers[heading].plan, title=f'{name}, {settings}'),
        grid=draw_grid(example_problem()),
        presets=draw_gallery(example_presets()),
    )


def draw_detectors(args: argparse.Namespace) -> dict[str, Figure]:
    epochs = match(args.config, args.checkpoints, args)
    *_, (epoch, matched) = epochs.items()
    name = Path(args.config).stem
    title = f'{name}, {epoch}, image {args.image}'
    figures = dict(
        plan=draw_plan(matched.plan, title=title),
        matching=draw_matching(matched, title=title),
    )
    matchers = {name: epochs}
    if args.versus:
        config, *checkpoints = args.versus
        other = Path(config).stem
        other += ' (versus)' * (other == name)
        matchers[other] = match(config, checkpoints, args)
    if args.versus or len(epochs) > 1:
        figures['epochs'] = draw_epochs(
            matchers, title=f'Matches of image {args.image} by epoch'
        )
    return figures


def match(
    config: str, checkpoints: list[str], args: argparse.Namespace
) -> dict[str, MatchedImage]:
    """What becomes of the image with each checkpoint."""
    cfg = Config.fromfile(find_config(config))
    cfg.merge_from_dict(args.cfg_options)
    files = [find_checkpoint(checkpoint) for checkpoint in checkpoints]
    labels = [Path(file).stem.replace('_', ' ') for file in files]
    if len({*labels}) < len(labels):
        raise ValueError(f'checkpoints must differ in their names: {files}')
    dataset = load_dataset(cfg, 'val')
    sample = dataset[find_image(dataset, args.image)]
    model = build_detector(cfg)
    epochs = {}
    for label, file in zip(labels, files):
        load_weights(model, file)
        epochs[label] = record_matching(model, sample)
    return epochs


if __name__ == '__main__':
    main()
