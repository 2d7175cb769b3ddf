"""How much mass a matching problem asks for, registered in ``TASK_UTILS``.

- ``mass``: the masses of a problem, and how firmly they hold
- ``asked``: how many predictions each ground truth asks for
"""

from .._host import check_host

check_host()

from .asked import DynamicMass, GtMass
from .mass import Mass

__all__ = ['DynamicMass', 'GtMass', 'Mass']
