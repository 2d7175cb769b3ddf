"""How much mass a matching problem asks for, registered in ``TASK_UTILS``.

- ``mass``: the masses of a problem, and how firmly they hold
"""

from .._host import check_host

check_host()

from .mass import Mass

__all__ = ['Mass']
