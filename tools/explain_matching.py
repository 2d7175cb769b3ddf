#!/usr/bin/env python
"""Says why objects are matched to what they are, and what if.

python tools/explain_matching.py configs/ssd300_uot.py --image 0 12
python tools/explain_matching.py configs/detr_ot.py work_dirs/detr_ot --serve
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import Config

from mmdet_uot._one_line import errors_in_one_line
from mmdet_uot._tools import (
    add_config_options,
    find_checkpoint,
    find_config,
)
from mmdet_uot.explain.export import ask_model, export_image
from mmdet_uot.explain.fiftyone import export_to_fiftyone
from mmdet_uot.explain.inline import build_page
from mmdet_uot.explain.question import Question
from mmdet_uot.explain.server import HOST, make_server
from mmdet_uot.matched_images.detector import build_detector, load_weights
from mmdet_uot.matched_images.samples import (
    class_names,
    find_image,
    load_dataset,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write a page that says for each object of some images '
        'what it is matched to and why, with sliders for what would be. '
        'Without a checkpoint the weights are random: fine for anchors, '
        'whose matching does not depend on them.'
    )
    add = parser.add_argument
    add('config', help='path of the config file')
    add('checkpoint', nargs='?', help='checkpoint file or URL, or a work dir')
    add(
        '--image',
        nargs='+',
        default=['0'],
        help='indices or file names in the data set (default: 0)',
    )
    add(
        '--split',
        choices=('train', 'val', 'test'),
        default='val',
        help='of which dataloader (default: %(default)s)',
    )
    add(
        '--out',
        type=Path,
        default=Path('work_dirs/explain_matching/report.html'),
        help='the page (default: %(default)s)',
    )
    add(
        '--candidates',
        type=int,
        default=50,
        help='predictions per object that the sliders of the page know '
        '(default: %(default)s)',
    )
    add(
        '--serve',
        action='store_true',
        help=f'serve the page at {HOST} instead, solved by the package',
    )
    add('--port', type=int, default=0, help='for --serve (default: any)')
    add(
        '--fiftyone',
        metavar='NAME',
        help='also write a FiftyOne data set of that name',
    )
    add_config_options(parser)
    args = parser.parse_args(argv)
    if args.candidates < 1:
        raise SystemExit('error: --candidates must be at least 1')
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with errors_in_one_line():
        questions, images = explain(args)
        title = f'Matching of {Path(args.config).stem}'
        data = dict(live=args.serve, images=[page for page, _ in images])
        if args.fiftyone:
            export_to_fiftyone(args.fiftyone, images)
            print(f'FiftyOne data set: {args.fiftyone}')
        if args.serve:
            serve(build_page(title, data), questions, args.port)
            return
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(build_page(title, data), encoding='utf-8')
        print(f'page: {args.out}')


def explain(
    args: argparse.Namespace,
) -> tuple[list[Question], list[tuple[dict, str]]]:
    """The images that could be read: questions, pages, and paths."""
    cfg = Config.fromfile(find_config(args.config))
    cfg.merge_from_dict(args.cfg_options)
    dataset = load_dataset(cfg, args.split)
    model = build_detector(cfg)
    if args.checkpoint:
        load_weights(model, find_checkpoint(args.checkpoint))
    questions, images, broken = [], [], []
    for name in args.image:
        index = find_image(dataset, name)
        path = dataset.get_data_info(index)['img_path']
        try:
            sample = dataset[index]
        except Exception as error:  # whatever a pipeline raises
            broken.append(f'{path}: {error}')
            continue
        question = ask_model(model, sample)
        page = export_image(
            question, sample, class_names(dataset), model, args.candidates
        )
        questions.append(question)
        images.append((page, path))
    for line in broken:
        print(f'left out, cannot be read: {line}')
    if not images:
        raise ValueError('none of the images can be read')
    return questions, images


def serve(page: str, questions: list[Question], port: int) -> None:
    server = make_server(page, questions, port)
    print(f'http://{HOST}:{server.server_address[1]}/ (Ctrl+C ends it)')
    try:
        server.serve_forever()
    finally:
        server.server_close()


if __name__ == '__main__':
    main()
