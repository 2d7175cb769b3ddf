"""Match costs that are NaN or infinite: what becomes of them, and the log."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor

__all__ = ['BAD_COSTS', 'BadCostLog', 'image_name']

BAD_COSTS = ('replace', 'skip', 'raise')

# After so many warnings only every hundredth image is named.
_NAMED = 100


class BadCostLog:
    """Warns of images whose match costs are not finite.

    A GPU's counts are read when they have arrived, at the next call, so that
    nothing waits for the device.

    Args:
        remedy (str): What becomes of them, for the message.
    """

    def __init__(self, remedy: str) -> None:
        self.remedy = remedy
        self.num_images = 0
        self._pending: deque = deque()

    def __reduce__(self) -> tuple:
        # Copies of a model (EMA) start anew: events cannot be copied.
        return BadCostLog, (self.remedy,)

    def add(
        self,
        terms: Sequence[str],
        term_is_bad: Tensor,
        counts: Tensor,
        metas: Sequence[dict],
    ) -> None:
        """Reports a batch, now or when its counts have arrived.

        Args:
            terms (Sequence[str]): Names of the T match costs.
            term_is_bad (Tensor): (T, B) bool.
            counts (Tensor): (B,) number of entries that are not finite.
            metas (Sequence[dict]): Per entry, with ``img_path``.
        """
        counts = torch.cat((term_is_bad.to(counts), counts.unsqueeze(0)))
        arrived = None
        if counts.device.type == 'cuda':
            host = torch.empty_like(counts, device='cpu', pin_memory=True)
            counts = host.copy_(counts, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        self._pending.append((arrived, counts, terms, metas))
        while self._pending:
            arrived, *report = self._pending[0]
            if arrived is not None and not arrived.query():
                return
            self._pending.popleft()
            self._warn(*report)

    def _warn(
        self, counts: Tensor, terms: Sequence[str], metas: Sequence[dict]
    ) -> None:
        *bad_terms, entries = counts.numpy()
        for image in entries.nonzero()[0]:
            self.num_images += 1
            if self.num_images > _NAMED and self.num_images % 100:
                continue
            sources = [
                term
                for term, is_bad in zip(terms, bad_terms, strict=True)
                if is_bad[image]
            ]
            print_log(
                f'{image_name(metas, image)}: {entries[image]} match costs '
                f'are not finite (from {", ".join(sources)}); {self.remedy}. '
                f'Images so far: {self.num_images}.',
                logger='current',
                level=logging.WARNING,
            )


def image_name(metas: Sequence[dict], image: int) -> str:
    """The path of an image, or its number where that is not known."""
    return metas[image].get('img_path') or f'image {image} of the batch'
