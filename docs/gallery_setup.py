"""What the scripts of examples/ need to become pages with pictures."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

__all__ = ['declare_operators', 'scrape']

_SCHEMA = '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'
_declared = []


def declare_operators() -> None:
    """Lets torchvision be imported beside a build of torch for the CPU.

    PyPI's torchvision is built for CUDA. There its library does not load, and
    the import fails for want of two operators, which training does not use.
    """
    if torch.version.cuda is None and not _declared:
        library = torch.library.Library('torchvision', 'DEF')
        for name in ('nms', 'qnms'):
            library.define(name + _SCHEMA)
        _declared.append(library)


def scrape(block: tuple, variables: dict, conf: dict) -> str:
    """Takes the new figures among a script's variables as its pictures."""
    seen = variables.setdefault('figures', [])
    new = [
        value
        for value in variables['example_globals'].values()
        if isinstance(value, Figure) and value not in seen
    ]
    seen += new
    paths = [next(variables['image_path_iterator']) for _ in new]
    for figure, path in zip(new, paths):
        figure.savefig(path)
    return figure_rst(paths, conf['src_dir'])
