"""What becomes of bad match costs and ground truths, and of it in the log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ['BAD_COSTS', 'describe_problem']

BAD_COSTS = ('replace', 'skip', 'raise')

_SKIPPED = 'the image takes no part in the matching'
_REPLACED = 'they count as costs beyond all others of the image'
_LEFT_OUT = 'they take no part in the matching'


def describe_problem(
    terms: Sequence[str], skip: bool, counts: np.ndarray
) -> str:
    """What the log says of an image.

    Args:
        terms (Sequence[str]): Names of the T match costs.
        skip (bool): Whether the image is skipped.
        counts (np.ndarray): (3 + T, E) of the image's entries (layers):
            costs that are bad, ground truths whose box is bad or has no area,
            and per term whether it is bad.

    Returns:
        str: Without the name of the image.
    """
    costs, boxes, flat, *of_terms = counts
    parts = []
    if costs.any():
        bad = zip(terms, of_terms)
        sources = ', '.join(term for term, is_bad in bad if is_bad.any())
        remedy = _SKIPPED if skip else _REPLACED
        parts.append(
            f'match costs that are not finite: {costs.sum()}, from {sources}; '
            f'{remedy}'
        )
    # Layers have the same ground truths.
    if boxes.any():
        remedy = _SKIPPED if skip else _LEFT_OUT
        parts.append(
            f'ground truths whose box is not finite: {boxes.max()}; {remedy}'
        )
    if flat.any():
        parts.append(
            f'ground truths whose box has no area: {flat.max()}; {_LEFT_OUT}'
        )
    return '; '.join(parts)
