"""The scripts of the gallery run and draw; `make docs` runs them too."""

import runpy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from mmdet.visualization import DetLocalVisualizer

from mmdet_uot.visualization import to_rgb

pytestmark = pytest.mark.slow

EXAMPLES = sorted((Path(__file__).parents[1] / 'examples').glob('plot_*.py'))
NEEDS = dict(
    plot_hugging_face_detr='transformers',
    plot_torchvision_retinanet='torchvision',
)


@pytest.mark.parametrize('example', EXAMPLES, ids=lambda path: path.stem)
def test_it_draws_what_it_says(example, tmp_path, monkeypatch):
    library = NEEDS.get(example.stem)
    if library and not find_spec(library):
        pytest.skip(f'{library} is in .venv-docs: make docs runs this')
    monkeypatch.chdir(tmp_path)
    # A training before would have its logs.
    DetLocalVisualizer._instance_dict.clear()
    names = runpy.run_path(str(example), run_name='__main__')
    (figure,) = (x for x in names.values() if isinstance(x, Figure))
    assert np.unique(to_rgb(figure)).size > 50
    name = example.stem[len('plot_') :]
    assert (tmp_path / f'work_dirs/gallery/{name}.png').stat().st_size
    losses = names.get('losses')
    assert not losses or losses[-1] < losses[0] / 2
