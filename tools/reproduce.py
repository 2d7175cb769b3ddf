#!/usr/bin/env python
"""Does an experiment of the paper and sets its numbers beside the paper's.

python tools/reproduce.py table2
python tools/reproduce.py table2 --seeds 0 1 --epochs 12 --jobs 2
python tools/reproduce.py table2 --report
python tools/reproduce.py table1 --scale paper
python tools/reproduce.py prop
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reproduction.catalogue import TRAININGS
from reproduction.machine import available_cores
from reproduction.measurements import MEASUREMENTS, take_measurement
from reproduction.options import split_options
from reproduction.runs import SCALES
from reproduction.summary import write_summary
from reproduction.trainings import Settings, reproduce

NAMES = (*TRAININGS, *MEASUREMENTS, 'summary')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Do an experiment of the paper. What has a result is '
        'not done again, and what was interrupted goes on.',
    )
    add = parser.add_argument
    add('name', choices=NAMES, metavar='NAME', help=', '.join(NAMES))
    add(
        '--scale',
        choices=SCALES,
        default='cpu',
        help='cpu: the configs for a CPU; paper: the full ones, of which it '
        'only says what they need (default: %(default)s)',
    )
    add('--seeds', type=int, nargs='+', default=[0], help='default: 0')
    add(
        '--epochs',
        type=int,
        help='a schedule of this many epochs, of the same shape as the '
        "config's",
    )
    add(
        '--jobs',
        type=int,
        help='trainings at a time; the cores are shared among them (default: '
        'one per core; one with --scale paper)',
    )
    add(
        '--device',
        choices=('cpu', 'cuda'),
        help='what trains (default: cpu at CPU scale, else cuda); cuda needs '
        'an MMCV with operators for it',
    )
    add(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='change settings of all configs, as tools/train.py does',
    )
    add(
        '--out',
        type=Path,
        default=Path('results'),
        help='folder of the results (default: %(default)s)',
    )
    add(
        '--work-dirs',
        type=Path,
        default=Path('work_dirs/reproduce'),
        help='folder of checkpoints and logs (default: %(default)s)',
    )
    add(
        '--report',
        action='store_true',
        help='only write table and figure of the results that there are',
    )
    add('--run', action='store_true', help='start also with --scale paper')
    args = parser.parse_args(argv)
    for name in ('epochs', 'jobs'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f'--{name} must be at least 1')
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    start = not args.report and (args.scale == 'cpu' or args.run)
    try:
        settings = Settings(
            scale=args.scale,
            seeds=args.seeds,
            epochs=args.epochs,
            options=split_options(args.cfg_options),
            results=args.out,
            work_dirs=args.work_dirs,
            at_a_time=args.jobs,
            cores=available_cores(),
            device=args.device,
        )
        failures = do(args.name, settings, start)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    except KeyboardInterrupt:
        raise SystemExit(
            'interrupted; the same command goes on from the last checkpoints'
        ) from None
    if failures:
        raise SystemExit('\n'.join(f'error: {text}' for text in failures))


def do(name: str, settings: Settings, start: bool) -> list[str]:
    if name == 'summary':
        write_summary(settings)
        return []
    if name in TRAININGS:
        return reproduce(name, settings, start=start)
    if settings.scale == 'paper':
        raise ValueError(
            f'{name} has no training and is the same at any scale: leave '
            '--scale out; tools/benchmark_matching.py --device cuda times '
            'matching on a GPU'
        )
    threads = settings.cores // (settings.at_a_time or 1)
    take_measurement(
        name, settings.folder, threads=max(1, threads), start=start
    )
    return []


if __name__ == '__main__':
    main()
