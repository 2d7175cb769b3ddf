#!/usr/bin/env python
"""Checks the data of a config before anything is trained.

python tools/check_data.py my_config.py
python tools/check_data.py my_config.py --splits train
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmdet_uot._one_line import errors_in_one_line
from mmdet_uot._tools import add_config_options, find_config
from mmdet_uot.data_check import check_split

SPLITS = ('train', 'val', 'test')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Compare the annotation files of a config with its '
        'classes and with the images. The exit status is 1 if there are '
        'errors.'
    )
    parser.add_argument('config', help='path of the config file')
    parser.add_argument(
        '--splits',
        nargs='+',
        choices=SPLITS,
        default=SPLITS,
        help='whose dataloaders (default: all that the config has)',
    )
    add_config_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with errors_in_one_line():
        cfg = Config.fromfile(find_config(args.config))
        cfg.merge_from_dict(args.cfg_options)
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        errors = check(cfg, args.splits)
    if errors:
        raise SystemExit(f'{errors} kinds of errors')
    print('no errors')


def check(cfg: Config, splits: tuple[str, ...]) -> int:
    """Prints what is found; returns the number of kinds of errors."""
    errors = 0
    splits = [x for x in splits if cfg.get(f'{x}_dataloader') is not None]
    if not splits:
        raise ValueError('the config has no dataloader of these splits')
    for split in splits:
        for heading, findings in check_split(cfg, split):
            print(heading)
            for line in findings.lines():
                print(f'  {line}')
            errors += findings.num_errors
    return errors


if __name__ == '__main__':
    main()
