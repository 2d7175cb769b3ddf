"""Losses weighted by transport plans, registered in ``MODELS``."""

from .._host import check_host

check_host()

from .box_loss import box_loss, box_pairs, heaviest_pairs
from .class_loss import (
    check_class_loss,
    class_loss,
    class_mass,
    cross_entropy,
    focal,
)
from .hard_negatives import mine_hard_negatives
from .multibox_loss import UOTMultiBoxLoss
from .pair_loss import check_pair_loss, pair_class_loss
from .set_loss import SetLoss

__all__ = [
    'SetLoss',
    'UOTMultiBoxLoss',
    'box_loss',
    'box_pairs',
    'check_class_loss',
    'check_pair_loss',
    'class_loss',
    'class_mass',
    'cross_entropy',
    'focal',
    'heaviest_pairs',
    'mine_hard_negatives',
    'pair_class_loss',
]
