import numpy as np
import pytest
import torch

from mmdet_uot.ot import MatchingProblem, solve
from mmdet_uot.visualization import MatchedImage


@pytest.fixture
def match():
    """Matches random boxes of an image; options are those of ``solve``."""

    def match(N=12, M=3, size=(120, 160), seed=0, **options):
        generator = torch.Generator().manual_seed(seed)
        height, width = size

        def boxes(count):
            centers = torch.rand(count, 2, generator=generator)
            sides = 10 + 20 * torch.rand(count, 2, generator=generator)
            centers = centers * torch.tensor([width, height])
            return torch.cat((centers - sides / 2, centers + sides / 2), 1)

        cost = torch.rand(N, M, generator=generator)
        problem = MatchingProblem.from_costs([cost], background_cost=0.5)
        plan = solve(problem, **{'epsilon': 0.05, **options})
        image = np.full((height, width, 3), 128, np.uint8)
        return MatchedImage(image, boxes(N), boxes(M), plan)

    return match


@pytest.fixture
def axes_of():
    """The axes of a figure by label."""

    def axes_of(figure):
        return {axes.get_label(): axes for axes in figure.axes}

    return axes_of
