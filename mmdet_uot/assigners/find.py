"""The assigners of a model."""

from __future__ import annotations

from mmdet.models.task_modules.assigners import BaseAssigner
from torch import nn

__all__ = ['find_assigners']


def find_assigners(model: nn.Module) -> list[BaseAssigner]:
    """Finds the assigners that a model's modules hold, ours and mmdet's.

    Assigners are no modules; heads hold them, or lists of them, and may share
    one.
    """
    held = [x for module in model.modules() for x in vars(module).values()]
    held += [x for values in held if isinstance(values, list) for x in values]
    return list(
        {id(x): x for x in held if isinstance(x, BaseAssigner)}.values()
    )
