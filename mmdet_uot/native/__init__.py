"""Loops in C for the CPU, where the package was built with a C compiler.

- ``scaling.c``, ``scaling_loops.h``: the scaling algorithm, for
  ``mmdet_uot.ot``
- ``match_costs.c``: box and class costs, for ``mmdet_uot.assigners``
- ``elementary.h``, ``parallel.h``: what they have in common

Knows torch alone. Whoever calls it has a way of its own for where there is no
library, and for all tensors that it does not take.
"""

from .library import can_read, library, run

__all__ = ['can_read', 'library', 'run']
