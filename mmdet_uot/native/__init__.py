"""Loops in C for the CPU, where the package was built with a C compiler.

- ``sparse_scaling.c``, ``sparse_loops.h``, ``sparse_boxes.h``: the scaling
  algorithm on the pairs that can carry mass, for ``mmdet_uot.ot``
- ``scaling.c``, ``scaling_loops.h``: the same on the matrix
- ``relaxation.h``, ``masses.h``: what both have in common
- ``match_costs.c``, ``candidates.c``: box and class costs, and which pairs may
  be matched, for ``mmdet_uot.costs``
- ``overlaps.c``: the greatest IoUs, and who is the closest, for
  ``mmdet_uot.inputs``
- ``box_blocks.c``: boxes cut into blocks, for all of them
- ``found_pairs.c``, ``found_pairs.h``: how pairs are returned
- ``blocks.h``, ``box_blocks.h``, ``box_overlaps.h``, ``overlap.h``:
  predictions in blocks, their boxes, and what two boxes have in common
- ``elementary.h``, ``elementary_double.h``, ``lanes.h``, ``parallel.h``: exp
  and log, vectors, loops over images

Knows torch alone. Whoever calls it has a way of its own for where there is no
library, and for all tensors that it does not take.
"""

from .box_blocks import BlockedBoxes, cut_boxes
from .found_pairs import find_pairs
from .library import can_read, library, run

__all__ = [
    'BlockedBoxes',
    'can_read',
    'cut_boxes',
    'find_pairs',
    'library',
    'run',
]
