"""Datasets registered in MMDetection's ``DATASETS``."""

from .._host import check_host

check_host()

from .color_boxes_dataset import ColorBoxesDataset

__all__ = ['ColorBoxesDataset']
