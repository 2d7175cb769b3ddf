"""The costs and masses of presets; how they are solved, ``ot.presets`` says.

What scores and priors are is said for mmdet's heads; the heads of this package
say it themselves.

- ``'ota'``: Ge et al., "OTA: Optimal Transport Assignment for Object
  Detection", CVPR 2021. Focal loss of the class + 1.5 x (-log IoU), against
  the focal loss of the background; a pair needs a prior in the centre region
  of radius 2.5 strides; k is the sum of the 20 greatest IoUs of the
  predictions whose prior lies in the box. Balanced, epsilon 0.1, 50
  iterations; a prediction goes to the column that gives it the most. Scores
  are logits.
- ``'sim_ota'``: Ge et al., "YOLOX", 2021, as mmdet's ``SimOTAAssigner``.
  Cross-entropy + 3 x (-log IoU); a pair needs a prior in the box and in the
  centre region; k is the sum of the 10 greatest IoUs of the predictions whose
  prior lies in one of them, of any ground truth. Scores are probabilities.
- ``'task_aligned'``: Feng et al., "TOOD: Task-aligned One-stage Object
  Detection", ICCV 2021, as mmdet's ``TaskAlignedAssigner``. -log s - 6 log
  IoU, k = 13; a pair needs a prior, a box, whose centre lies in the ground
  truth, and an IoU above 0. Scores are probabilities.
- ``'dynamic_soft_label'``: Lyu et al., "RTMDet", 2022, as mmdet's
  ``DynamicSoftLabelAssigner``. Class loss with the IoU as target + 3 x (-log
  IoU) + 10^(distance from the centre in strides - 3); a pair needs a prior in
  the box of any ground truth; k is the sum of the 13 greatest IoUs of these
  predictions. Scores are logits.
- ``'one_to_many'``: Jia et al., "DETRs with Hybrid Matching", CVPR 2023: the
  costs given, with every ground truth 6 times.
"""

from __future__ import annotations

from typing import Any

__all__ = ['PRESET_OPTIONS']

_IN_BOX, _IN_CENTER = dict(type='InsideBox'), dict(type='CenterRegion')

# Preset -> flat options that it stands for, where they are not given.
PRESET_OPTIONS: dict[str, dict[str, Any]] = {
    'one_to_many': dict(gt_mass=6.0),
    'ota': dict(
        match_costs=[
            dict(type='FocalClassCost'),
            dict(type='NegLogIoUCost', weight=1.5),
        ],
        background_cost=dict(type='FocalBackgroundCost'),
        candidates=_IN_CENTER,
        gt_mass=dict(type='DynamicMass', top=20, candidates=_IN_BOX),
        cost_scaling='none',
    ),
    'sim_ota': dict(
        match_costs=[
            dict(type='BinaryClassCost', scores='probabilities'),
            dict(type='NegLogIoUCost', weight=3.0),
        ],
        background_cost=0.0,
        candidates=[_IN_BOX, _IN_CENTER],
        gt_mass=dict(
            type='DynamicMass',
            top=10,
            candidates=dict(type='AnyCandidate', rules=[_IN_BOX, _IN_CENTER]),
            shared=True,
        ),
        cost_scaling='none',
    ),
    'dynamic_soft_label': dict(
        match_costs=[
            dict(type='SoftLabelCost'),
            dict(type='NegLogIoUCost', weight=3.0),
            dict(type='CenterDistanceCost'),
        ],
        background_cost=0.0,
        candidates=dict(type='InsideBox', of_any=True),
        gt_mass=dict(
            type='DynamicMass', top=13, candidates=_IN_BOX, shared=True
        ),
        cost_scaling='none',
    ),
    'task_aligned': dict(
        match_costs=dict(type='AlignmentCost', scores='probabilities'),
        background_cost=0.0,
        candidates=[
            dict(type='InsideBox', margin=0.01, priors='boxes'),
            dict(type='IoUAbove'),
        ],
        gt_mass=13.0,
    ),
}
