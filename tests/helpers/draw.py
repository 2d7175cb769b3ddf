import pytest
import torch
from mmengine.structures import InstanceData

from .boxes import random_boxes

NUM_CLASSES = 5


class Draw:
    """Random predictions and ground truths, the same in every run."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def rand(self, *shape):
        return torch.rand(shape, generator=self.generator)

    def boxes(self, count):
        return random_boxes(count, self.generator)

    def anchors(self, count):
        return InstanceData(priors=self.boxes(count))

    def preds(self, count):
        return InstanceData(
            bboxes=self.boxes(count),
            scores=4 * self.rand(count, NUM_CLASSES) - 2,
            masks=self.rand(count, 6, 7),
        )

    def gts(self, count):
        labels = (self.rand(count) * NUM_CLASSES).long()
        return InstanceData(
            bboxes=self.boxes(count),
            labels=labels,
            masks=(self.rand(count, 6, 7) > 0.5).float(),
        )

    def batch(self, num_preds, num_gts):
        """Predictions, ground truths and metas of several images."""
        preds = [self.preds(count) for count in num_preds]
        gts = [self.gts(count) for count in num_gts]
        metas = [
            dict(img_shape=(160 + 20 * image, 300 - 30 * image))
            for image in range(len(gts))
        ]
        return preds, gts, metas


@pytest.fixture
def draw():
    return Draw()
