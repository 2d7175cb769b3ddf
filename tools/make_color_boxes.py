"""Make the Color Boxes dataset (Appendix I) and check its statistics."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmdet_uot._one_line import errors_in_one_line
from mmdet_uot.datasets.color_boxes import (
    DEFAULT_NUM_IMAGES,
    SPLITS,
    ColorBoxesOptions,
    ensure_split,
)
from mmdet_uot.datasets.color_boxes.picture import save_picture
from mmdet_uot.datasets.color_boxes.report import format_report
from mmdet_uot.datasets.color_boxes.statistics import measure


def parse_args() -> argparse.Namespace:
    """Parse the command line; the defaults are those of Appendix I."""
    default = ColorBoxesOptions()
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('root', nargs='?', default='data/color_boxes', help='output folder')
    add('--splits', nargs='+', choices=SPLITS, default=SPLITS, help='splits')
    for split in SPLITS:
        number = DEFAULT_NUM_IMAGES[split]
        text = f'images of {split}'
        add(f'--num-{split}', type=int, default=number, help=text)
    add(
        '--image-size',
        type=int,
        nargs=2,
        metavar=('WIDTH', 'HEIGHT'),
        default=default.image_size,
        help='canvas in pixels',
    )
    add(
        '--max-objects',
        type=int,
        default=default.max_objects,
        help='the number of rectangles is uniform from 0 to this',
    )
    add(
        '--side-range',
        type=float,
        nargs=2,
        metavar=('SHORTEST', 'LONGEST'),
        default=default.side_range,
        help='sides of the rectangles in pixels',
    )
    add(
        '--max-iou',
        type=float,
        default=default.max_iou,
        help='highest IoU of two bounding boxes',
    )
    add(
        '--noise-std',
        type=float,
        default=default.noise_std,
        help='noise per pixel value, of the range [0, 1]',
    )
    add('--seed', type=int, default=default.seed, help='seed of the set')
    add('--workers', type=int, help='threads; one per CPU core if not given')
    add(
        '--report',
        action='store_true',
        help='print the statistics of each split and save them as '
        '<root>/report_<split>.png',
    )
    return parser.parse_args()


def main() -> None:
    """Make the splits that are not there, then report on them."""
    args = parse_args()
    with errors_in_one_line():
        make(args)


def make(args: argparse.Namespace) -> None:
    root = Path(args.root)
    options = ColorBoxesOptions(
        seed=args.seed,
        image_size=args.image_size,
        max_objects=args.max_objects,
        side_range=args.side_range,
        max_iou=args.max_iou,
        noise_std=args.noise_std,
    )
    for split in args.splits:
        ensure_split(
            root,
            split,
            num_images=getattr(args, f'num_{split}'),
            options=options,
            workers=args.workers,
        )
        print(f'{split}: {root / split}, {root}/annotations/{split}.json')
        if args.report:
            stats = measure(root, split)
            picture = root / f'report_{split}.png'
            save_picture(stats, root, split, picture)
            print(format_report(stats, f'{root}, {split}'))
            print(f'picture: {picture}')


if __name__ == '__main__':
    main()
