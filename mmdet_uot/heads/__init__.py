"""Detection heads on transport plans, registered in ``MODELS``."""

from .._host import check_host

check_host()

from .detr_head import (
    UOTConditionalDETRHead,
    UOTDABDETRHead,
    UOTDeformableDETRHead,
    UOTDETRHead,
)
from .dino_head import UOTDINOHead
from .ssd_head import UOTSSDHead

__all__ = [
    'UOTConditionalDETRHead',
    'UOTDABDETRHead',
    'UOTDETRHead',
    'UOTDINOHead',
    'UOTDeformableDETRHead',
    'UOTSSDHead',
]
