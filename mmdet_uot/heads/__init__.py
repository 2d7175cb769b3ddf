"""Detection heads on transport plans, registered in ``MODELS``."""

from .._host import check_host

check_host()

from .anchor_head import (
    UOTAnchorHead,
    UOTRetinaHead,
    UOTRetinaSepBNHead,
    UOTRPNHead,
)
from .detr_head import (
    UOTConditionalDETRHead,
    UOTDABDETRHead,
    UOTDeformableDETRHead,
    UOTDETRHead,
)
from .dino_head import UOTDINOHead
from .roi_head import UOTCascadeRoIHead, UOTStandardRoIHead
from .ssd_head import UOTSSDHead

__all__ = [
    'UOTAnchorHead',
    'UOTCascadeRoIHead',
    'UOTConditionalDETRHead',
    'UOTDABDETRHead',
    'UOTDETRHead',
    'UOTDINOHead',
    'UOTDeformableDETRHead',
    'UOTRPNHead',
    'UOTRetinaHead',
    'UOTRetinaSepBNHead',
    'UOTSSDHead',
    'UOTStandardRoIHead',
]
