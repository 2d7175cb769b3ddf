"""Ignored boxes on their way to heads that mmdet does not give them to."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

from mmdet.structures import DetDataSample

from ..inputs.ground_truths import IGNORED
from ..inputs.instances import check_ignored

__all__ = ['keeps_ignored']


def keeps_ignored(method: Callable) -> Callable:
    """Puts ignored boxes into the meta information of their images.

    The losses of mmdet's DETR family drop those of the data samples and
    refuse to be given any, but hand the meta information to every matching.

    Args:
        method (Callable): ``loss``, ``loss_and_predict`` or ``loss_by_feat``
            of a head.

    Returns:
        Callable: The method, for images that may have ignored boxes.
    """
    if hasattr(method, 'keeps_ignored'):
        return method
    parameters = signature(method)

    @wraps(method)
    def with_ignored(*args: Any, **kwargs: Any) -> Any:
        bound = parameters.bind(*args, **kwargs)
        given = bound.arguments
        if 'batch_data_samples' in given:
            samples = given['batch_data_samples']
            given['batch_data_samples'] = [_mark(x) for x in samples]
        ignored = given.pop('batch_gt_instances_ignore', None)
        if ignored is not None:
            check_ignored(ignored, len(given['batch_img_metas']))
            given['batch_img_metas'] = [
                {**meta, IGNORED: entry}
                for meta, entry in zip(given['batch_img_metas'], ignored)
            ]
        return method(*bound.args, **bound.kwargs)

    with_ignored.keeps_ignored = True
    return with_ignored


def _mark(sample: DetDataSample) -> DetDataSample:
    ignored = sample.get('ignored_instances')
    if ignored is None or len(ignored) == 0:
        return sample
    marked = sample.new()
    marked.set_field(ignored, IGNORED, field_type='metainfo')
    return marked
