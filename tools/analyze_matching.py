#!/usr/bin/env python
"""Says what the objects of a data set get, before anything is trained.

python tools/analyze_matching.py my_config.py
python tools/analyze_matching.py configs/detr_ot.py work_dirs/detr_ot
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from tqdm import tqdm

from mmdet_uot._one_line import errors_in_one_line
from mmdet_uot._tools import (
    add_config_options,
    find_checkpoint,
    find_config,
)
from mmdet_uot.explain.anchor_sizes import suggest
from mmdet_uot.explain.anchors import anchor_head
from mmdet_uot.explain.blank_images import load_without_pixels
from mmdet_uot.explain.export import ask_model
from mmdet_uot.explain.findings import as_lines, draw, summarize
from mmdet_uot.explain.survey import survey_anchors, survey_questions
from mmdet_uot.matched_images.detector import build_detector, load_weights
from mmdet_uot.matched_images.samples import class_names, load_dataset
from mmdet_uot.matched_images.summary import without_augmentation
from mmdet_uot.visualization.style import save

SPLITS = ('train', 'val', 'test')
# Of the predictions of a model fewer images are looked at.
SAMPLE = 100


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Match all images of a data set without training, and '
        'say which objects get too little and what would mend it. Anchors '
        'need neither pixels nor weights; predictions need a checkpoint.'
    )
    add = parser.add_argument
    add('config', help='path of the config file')
    add('checkpoint', nargs='?', help='checkpoint file or URL, or a work dir')
    add(
        '--split',
        choices=SPLITS,
        default='train',
        help='of which dataloader, without augmentation (default: '
        '%(default)s)',
    )
    add(
        '--num-images',
        type=int,
        help='how many, spread over the data set (default: all for anchors, '
        f'{SAMPLE} for predictions)',
    )
    add(
        '--out-dir',
        type=Path,
        default=Path('work_dirs/analyze_matching'),
        help='folder for picture and JSON (default: %(default)s)',
    )
    add_config_options(parser)
    args = parser.parse_args(argv)
    if args.num_images is not None and args.num_images < 1:
        raise SystemExit('error: --num-images must be at least 1')
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with errors_in_one_line():
        cfg = Config.fromfile(find_config(args.config))
        cfg.merge_from_dict(args.cfg_options)
        found = analyze(cfg, args)
        print('\n'.join(as_lines(found)))
        args.out_dir.mkdir(parents=True, exist_ok=True)
        path = args.out_dir / 'matching.json'
        path.write_text(json.dumps(found, indent=1))
        print(f'numbers: {path}')
        title = f'{Path(args.config).stem}, {args.split}'
        save(draw(found, title), args.out_dir / 'matching.png')


def analyze(cfg: Config, args: argparse.Namespace) -> dict[str, Any]:
    model = build_detector(cfg)
    if args.checkpoint:
        load_weights(model, find_checkpoint(args.checkpoint))
    if anchor_head(model) is None:
        dataset = load_dataset(
            without_augmentation(cfg, args.split), args.split
        )
        chosen = samples(dataset, args.num_images or SAMPLE)
        survey = survey_questions(
            ask_model(model, sample)
            for sample in chosen
            if has_objects(sample)
        )
    else:
        dataset = load_without_pixels(cfg, args.split)
        chosen = samples(dataset, args.num_images)
        survey = survey_anchors(model, chosen)
    found = summarize(survey, class_names(dataset))
    found['anchors'] = suggest(survey, model)
    return found


def samples(dataset: BaseDataset, count: int | None) -> Iterator[dict]:
    """Images spread over the data set; those that can be read."""
    count = min(count or len(dataset), len(dataset))
    broken = []
    for number in tqdm(range(count), unit='image', leave=False):
        index = number * len(dataset) // count
        try:
            sample = dataset[index]
        except Exception as error:  # whatever a pipeline raises
            path = dataset.get_data_info(index).get('img_path', index)
            broken.append(f'{path}: {error}')
        else:
            yield sample
    for line in broken[:3]:
        print(f'left out, cannot be read: {line}')
    if len(broken) > 3:
        print(f'and {len(broken) - 3} more')


def has_objects(sample: dict) -> bool:
    return len(sample['data_samples'].get('gt_instances', [])) > 0


if __name__ == '__main__':
    main()
