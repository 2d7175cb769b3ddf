#!/usr/bin/env python
"""Evaluates a trained detector and draws its detections.

python tools/test.py configs/ssd300_uot.py work_dirs/ssd300_uot
python tools/test.py configs/ssd300_uot.py checkpoint.pth --show-dir pictures
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmdet.evaluation import DumpDetResults
from mmengine.dist import master_only
from mmengine.runner import Runner

from mmdet_uot._one_line import errors_in_one_line
from mmdet_uot._tools import (
    add_common_arguments,
    build_runner,
    find_checkpoint,
    load_config,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Evaluate a detector.')
    add_common_arguments(parser)
    parser.add_argument(
        'checkpoint',
        help='checkpoint file or URL; or a work dir: its latest checkpoint',
    )
    parser.add_argument(
        '--out', metavar='FILE.pkl', help='save the predictions here'
    )
    parser.add_argument(
        '--show', action='store_true', help='show detections in a window'
    )
    parser.add_argument(
        '--show-dir',
        help='save pictures of detections beside ground truth here; a '
        'relative path is taken from <work dir>/<time stamp>',
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds between the pictures of --show (default: %(default)s)',
    )
    args = parser.parse_args(argv)
    if args.out and not args.out.endswith(('.pkl', '.pickle')):
        parser.error(f'--out must end in .pkl or .pickle, got {args.out!r}')
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with errors_in_one_line(args.traceback):
        test(args)


def test(args: argparse.Namespace) -> None:
    if args.work_dir is None and Path(args.checkpoint).is_dir():
        args.work_dir = args.checkpoint
    cfg = load_config(args)
    cfg.load_from = find_checkpoint(args.checkpoint)
    if args.show or args.show_dir:
        cfg = trigger_visualization_hook(cfg, args)
    runner = build_runner(cfg)
    if args.out:
        dump = DumpDetResults(out_file_path=args.out)
        runner.test_evaluator.metrics.append(dump)
    runner.test()
    report(runner, args)


@master_only
def report(runner: Runner, args: argparse.Namespace) -> None:
    folder = Path(runner.work_dir, runner.timestamp)
    print(f'Checkpoint: {runner._load_from}')
    print(f'Metrics:    {folder / runner.timestamp}.json')
    if args.show_dir:
        print(f'Pictures:   {folder / args.show_dir}')
    if args.out:
        print(f'Predictions: {args.out}')


if __name__ == '__main__':
    main()
