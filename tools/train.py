#!/usr/bin/env python
"""Trains a detector from a config.

python tools/train.py configs/ssd300_uot.py
python tools/train.py configs/ssd300_uot.py --resume
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import Config
from mmengine.device import get_device

from mmdet_uot._one_line import errors_in_one_line
from mmdet_uot._tools import (
    add_common_arguments,
    build_runner,
    find_checkpoint,
    latest_checkpoint,
    load_config,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a detector.')
    add_common_arguments(parser)
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision; needs a GPU'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the real batch size, relative to '
        'auto_scale_lr.base_batch_size of the config',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint; without a value from the latest one '
        'in the work dir, or from the start where there is none',
    )
    parser.add_argument(
        '--pretrained',
        action='store_true',
        help='start the backbone from the published weights that the config '
        'names under `pretrained` (downloads them)',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with errors_in_one_line(args.traceback):
        train(args)


def train(args: argparse.Namespace) -> None:
    cfg = load_config(args)
    if args.amp:
        use_amp(cfg)
    if args.auto_scale_lr:
        use_auto_scale_lr(cfg)
    if args.pretrained:
        use_pretrained(cfg)
    if args.resume:
        use_resume(cfg, args.resume)
    hooks = cfg.get('custom_hooks') or []
    cfg.custom_hooks = [*hooks, dict(type='mmdet.ResumeHook')]
    try:
        build_runner(cfg).train()
    except KeyboardInterrupt:
        raise SystemExit(
            'interrupted; with --resume the same command goes on from the '
            f'latest checkpoint in {cfg.work_dir}'
        ) from None


def use_amp(cfg: Config) -> None:
    if get_device() == 'cpu':
        raise SystemExit('error: --amp needs a GPU; leave it out on the CPU')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.loss_scale = 'dynamic'


def use_auto_scale_lr(cfg: Config) -> None:
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise SystemExit(
            'error: --auto-scale-lr needs `auto_scale_lr = '
            'dict(base_batch_size=...)` in the config'
        )
    cfg.auto_scale_lr.enable = True


def use_pretrained(cfg: Config) -> None:
    if cfg.get('pretrained') is None:
        raise SystemExit(
            'error: --pretrained needs `pretrained = dict(type="Pretrained", '
            'checkpoint=...)` in the config'
        )
    cfg.model.backbone.init_cfg = cfg.pretrained


def use_resume(cfg: Config, resume: str) -> None:
    if resume == 'auto':
        checkpoint = latest_checkpoint(cfg.work_dir)
    else:
        checkpoint = find_checkpoint(resume)
    if checkpoint is not None:
        cfg.resume = True
        cfg.load_from = checkpoint


if __name__ == '__main__':
    main()
