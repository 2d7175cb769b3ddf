"""The Color Boxes generator (Appendix I); needs neither torch nor mmdet.

``options`` -> ``scene`` (where the rectangles are) -> ``render`` (pixels) ->
``write`` (a COCO split) -> ``storage`` (made once, whole or not at all).
``statistics`` and ``report`` read a split back and hold it against
Appendix I.
"""

from .layout import DEFAULT_NUM_IMAGES, annotation_file, image_dir
from .options import ColorBoxesOptions
from .palette import CLASSES, PALETTE
from .render import render_scene
from .scene import SPLITS, Scene, image_rng, sample_scene
from .storage import ensure_split, refuse_misspelt

__all__ = [
    'CLASSES',
    'DEFAULT_NUM_IMAGES',
    'PALETTE',
    'SPLITS',
    'ColorBoxesOptions',
    'Scene',
    'annotation_file',
    'ensure_split',
    'image_dir',
    'image_rng',
    'refuse_misspelt',
    'render_scene',
    'sample_scene',
]
