"""Detection heads on transport plans, registered in ``MODELS``."""

from .._host import check_host

check_host()

from mmdet.models import dense_heads

from .anchor_head import (
    UOTAnchorHead,
    UOTRetinaHead,
    UOTRetinaSepBNHead,
    UOTRPNHead,
)
from .atss_head import UOTATSSHead, UOTGFLHead
from .detr_head import (
    UOTConditionalDETRHead,
    UOTDABDETRHead,
    UOTDeformableDETRHead,
    UOTDETRHead,
)
from .dino_head import UOTDINOHead
from .mask_heads import UOTMask2FormerHead, UOTMaskFormerHead
from .mask_rcnn_head import UOTFCNMaskHead
from .point_heads import UOTFCOSHead, UOTYOLOXHead
from .roi_head import UOTCascadeRoIHead, UOTStandardRoIHead
from .rtmdet_head import UOTRTMDetHead, UOTRTMDetSepBNHead
from .ssd_head import UOTSSDHead
from .tood_head import UOTTOODHead
from .vfnet_head import UOTVFNetHead

__all__ = [
    'UOTATSSHead',
    'UOTAnchorHead',
    'UOTCascadeRoIHead',
    'UOTConditionalDETRHead',
    'UOTDABDETRHead',
    'UOTDETRHead',
    'UOTDINOHead',
    'UOTDeformableDETRHead',
    'UOTFCNMaskHead',
    'UOTFCOSHead',
    'UOTGFLHead',
    'UOTMask2FormerHead',
    'UOTMaskFormerHead',
    'UOTRPNHead',
    'UOTRTMDetHead',
    'UOTRTMDetSepBNHead',
    'UOTRetinaHead',
    'UOTRetinaSepBNHead',
    'UOTSSDHead',
    'UOTStandardRoIHead',
    'UOTTOODHead',
    'UOTVFNetHead',
    'UOTYOLOXHead',
]

# mmdet 3.1 has no DDQ.
if hasattr(dense_heads, 'DDQDETRHead'):
    from .ddq_head import UOTDDQDETRHead

    __all__ += ['UOTDDQDETRHead']
