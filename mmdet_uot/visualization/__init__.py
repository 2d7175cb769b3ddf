"""Pictures of plans and trainings; every function returns a Figure.

- ``plan_figure``: a plan as a heat map between its marginals
- ``matching_figure``: an image, its boxes linked by the mass between them
- ``matchers_figure``: the same under several matchers, side by side
- ``gallery_figure``: the same under many, image by image
- ``epochs_figure``: the matches of an image, epoch by epoch
- ``grid_figure``: one problem over epsilon, tau1, tau2
- ``curves_figure``: losses and metrics of trainings, from their logs
- ``pixels``: images of any channels and dtype as red, green and blue

These need matplotlib and :mod:`mmdet_uot.ot` alone. ``detector`` builds one
of MMDetection, ``record`` asks it for its matching, ``samples`` loads the
images of a config, ``samples_figure`` draws them, and ``example`` needs none
of these.
"""

from .curves_figure import draw_curves
from .epochs_figure import draw_epochs
from .gallery_figure import draw_gallery
from .grid_figure import draw_grid
from .logs import read_log
from .matched_image import MatchedImage
from .matchers_figure import draw_matchers
from .matching_figure import draw_matching
from .plan_figure import draw_plan
from .style import to_rgb

__all__ = [
    'MatchedImage',
    'draw_curves',
    'draw_epochs',
    'draw_grid',
    'draw_gallery',
    'draw_matchers',
    'draw_matching',
    'draw_plan',
    'read_log',
    'to_rgb',
]
