"""What is wrong with the data of a config, before anything is trained.

- ``findings``: errors and warnings by kind, each a line
- ``coco_file``: an annotation file, held against the config and the images
- ``use``: what a data set makes of its boxes, and which no anchor fits
- ``check``: all data sets of a config
"""

from .check import check_split
from .findings import Findings

__all__ = ['Findings', 'check_split']
