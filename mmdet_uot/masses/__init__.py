"""How much mass a matching problem asks for, registered in ``TASK_UTILS``.

- ``mass``: the masses of a problem, and how firmly they hold
- ``asked``, ``option``: how many predictions each ground truth asks for
"""

from .._host import check_host

check_host()

from .asked import DynamicMass
from .mass import Mass
from .option import GtMass

__all__ = ['DynamicMass', 'GtMass', 'Mass']
