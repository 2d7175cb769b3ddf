#!/usr/bin/env python
"""Times our matching beside its peers, in one process.

python tools/benchmark_matching.py
python tools/benchmark_matching.py --workloads ssd300 --objects 200
python tools/benchmark_matching.py --json times.json --figures pictures
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from benchmarking.cases import WORKLOADS, draw_case
from benchmarking.figures import save_growth, save_training_step
from benchmarking.growth import time_growth
from benchmarking.losses import time_losses
from benchmarking.report import (
    report_case,
    report_environment,
    report_growth,
    report_losses,
    report_training_step,
)
from benchmarking.timing import Clock, environment
from benchmarking.training_step import (
    TrainingStep,
    time_training_step,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Time our matching beside its peers.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        '--workloads',
        nargs='+',
        choices=WORKLOADS,
        default=list(WORKLOADS),
        metavar='NAME',
        help=f'what to match, of {", ".join(WORKLOADS)}',
    )
    add('--images', type=int, default=16, help='images of a batch')
    add(
        '--objects',
        type=int,
        default=30,
        help='the number of objects of an image is uniform from 0 to this',
    )
    add(
        '--repeats',
        type=int,
        default=5,
        help='times to take of a slow call; fast ones are timed more often',
    )
    add(
        '--threads',
        type=int,
        default=torch.get_num_threads(),
        help='threads of torch',
    )
    add('--device', default='cpu', help='cpu, cuda or cuda:1')
    add('--seed', type=int, default=0, help='seed of all that is random')
    add('--json', type=Path, metavar='FILE', help='write all results here')
    add(
        '--figures',
        type=Path,
        metavar='DIR',
        help='time other sizes (minutes more) and the phases of a training '
        'step, and draw both here (Fig. 6 and Table 4 of the paper)',
    )
    args = parser.parse_args(argv)
    for name in ('images', 'repeats', 'threads'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} must be at least 1')
    if args.device.startswith('cuda') and not torch.cuda.is_available():
        parser.error(
            f'--device {args.device}: torch finds no GPU; use --device cpu'
        )
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    device = torch.device(args.device)
    clock = Clock(args.repeats, args.threads)
    torch.set_num_threads(args.threads)
    inputs = dict(num_images=args.images, device=device)

    results = dict(environment=environment(device, args.threads))
    report_environment(results['environment'])
    results['workloads'] = {
        name: report_case(
            name,
            draw_case(
                name, max_objects=args.objects, seed=args.seed, **inputs
            ),
            clock,
            device,
        )
        for name in args.workloads
    }
    losses = report_losses(
        time_losses(
            clock, max_objects=args.objects, seed=args.seed, device=device
        )
    )
    results['losses'] = [asdict(time) for time in losses]
    if args.figures:
        args.figures.mkdir(parents=True, exist_ok=True)
        growth = report_growth(
            time_growth((10, 30, 100), clock, seed=args.seed, **inputs)
        )
        results['growth'] = [asdict(point) for point in growth]
        with TemporaryDirectory() as folder:
            step = TrainingStep(folder, **inputs)
            phases = report_training_step(time_training_step(step, clock))
        results['training_step'] = [asdict(phase) for phase in phases]
        for save, rows, name in (
            (save_growth, growth, 'time_by_predictions.png'),
            (save_training_step, phases, 'training_step.png'),
        ):
            save(rows, args.images, args.figures / name)
            print(f'picture: {args.figures / name}')
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=2, allow_nan=False))
        print(f'results: {args.json}')


if __name__ == '__main__':
    main()
