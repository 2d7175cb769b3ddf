"""A small scene that needs no checkpoint and no data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from ..assigners import PRESETS, OneMinusIoUCost, UOTAssigner
from ..assigners.presets import PRESET_OPTIONS
from ..datasets.color_boxes import (
    CLASSES,
    ColorBoxesOptions,
    Scene,
    render_scene,
)
from ..ot import (
    CheapestSolver,
    MatchingProblem,
    Preset,
    ScalingSolver,
    TwoStageSolver,
    solve,
)
from ..visualization.matched_image import MatchedImage

__all__ = ['example_matchers', 'example_presets', 'example_problem']

OPTIONS = ColorBoxesOptions(image_size=(200, 190), noise_std=0)
BACKGROUND_COST = 0.8
EPSILON = 0.05
NUM_ITERS = 1000

MATCHERS = (
    ('Hungarian (DETR)', 'one prediction per object', 0.0, math.inf),
    ('balanced OT', 'predictions share an object', EPSILON, math.inf),
    ('unbalanced OT', 'an object takes more, or less', EPSILON, 0.1),
    ('closest (Faster R-CNN)', 'each takes its nearest', 0.0, 0.0),
)
# Class; centre, sides and angle in degrees.
RECTANGLES = (
    ('dodgerblue', 54, 56, 66, 50, 12),
    ('yellow', 52, 130, 62, 48, -14),
    ('orangered', 146, 68, 62, 44, 70),
    ('mediumspringgreen', 158, 150, 26, 40, 35),
)
PREDICTIONS = (
    # Between the first two rectangles, and one that is better for each.
    (18, 57, 92, 128),
    (26, 10, 96, 72),
    (6, 118, 74, 176),
    # Two that are as good as each other for the third, and a lesser one.
    (104, 30, 166, 92),
    (126, 44, 188, 106),
    (136, 10, 196, 70),
    # Too far from the fourth.
    (164, 124, 196, 152),
    # About nothing.
    (84, 146, 128, 184),
    (90, 4, 118, 30),
)


def example_problem() -> MatchingProblem:
    """Nine predictions, as of an early epoch, and four rectangles.

    Returns:
        MatchingProblem: 1 - IoU with a background cost of 0.8.
    """
    cost = OneMinusIoUCost()(
        InstanceData(bboxes=_preds()), InstanceData(bboxes=_gts())
    )
    return MatchingProblem.from_costs([cost], BACKGROUND_COST)


def example_matchers() -> dict[str, MatchedImage]:
    """The example under four matchers, from the Hungarian to the closest.

    Returns:
        dict[str, MatchedImage]: Per name, what it does, and its settings,
        on three lines.
    """
    problem = example_problem()
    image = render_scene(_scene(), OPTIONS, np.random.default_rng(0))
    matchers = {}
    for name, what, epsilon, tau2 in MATCHERS:
        plan = solve(problem, epsilon=epsilon, tau2=tau2, num_iters=NUM_ITERS)
        number = r'\infty' if math.isinf(tau2) else f'{tau2:g}'
        heading = (
            f'{name}\n{what}\n'
            rf'$\epsilon = {epsilon:g}$, $\tau_1 = \infty$, '
            rf'$\tau_2 = {number}$'
        )
        matchers[heading] = MatchedImage(image, _preds(), _gts(), plan)
    return matchers


def example_presets() -> dict[str, MatchedImage]:
    """The example under every preset.

    Those that bring no costs have 1 - IoU with a background cost of 0.8. The
    priors are points in the middle of the predictions, of stride 16, or boxes
    around them; a prediction gives 0.6 to the class that it overlaps most.

    Returns:
        dict[str, MatchedImage]: Per name, and its settings on a second line.
    """
    image = render_scene(_scene(), OPTIONS, np.random.default_rng(0))
    preds, gts = _instances()
    matchers = {}
    for name, preset in PRESETS.items():
        options: dict[str, Any] = {}
        if name not in PRESET_OPTIONS or name == 'one_to_many':
            options['background_cost'] = BACKGROUND_COST
        if isinstance(preset.solver, ScalingSolver):
            options['num_iters'] = NUM_ITERS
            if name != 'ota':
                options['epsilon'] = EPSILON
        if name == 'one_to_many':
            options['gt_mass'] = 2
        given = preds.clone()
        if name in ('ota', 'dynamic_soft_label'):
            given.scores = preds.scores.logit()
        if name == 'task_aligned':
            middle, reach = preds.priors.split(2, 1)
            given.priors = torch.cat((middle - reach, middle + reach), 1)
        plan = UOTAssigner(preset=name, **options).match([given], [gts])
        heading = f'{name}\n{_settings(preset, options)}'
        matchers[heading] = MatchedImage(image, _preds(), _gts(), plan)
    return matchers


def _settings(preset: Preset, options: dict[str, Any]) -> str:
    if isinstance(preset.solver, CheapestSolver):
        return 'the k cheapest of each object'
    if isinstance(preset.solver, TwoStageSolver):
        return 'closest prediction, then closest object'
    epsilon = options.get('epsilon', getattr(preset.solver, 'epsilon', 0))
    tau1, tau2 = (
        r'\infty' if math.isinf(tau) else f'{tau:g}'
        for tau in (preset.tau1, preset.tau2)
    )
    k = f', k = {options["gt_mass"]}' if 'gt_mass' in options else ''
    return (
        rf'$\epsilon = {epsilon or 0:g}$, $\tau_1 = {tau1}$, '
        rf'$\tau_2 = {tau2}${k}'
    )


def _instances() -> tuple[InstanceData, InstanceData]:
    boxes, gts = _preds(), _gts()
    labels = torch.arange(len(gts))
    cost = OneMinusIoUCost()(
        InstanceData(bboxes=boxes), InstanceData(bboxes=gts)
    )
    scores = torch.full((len(boxes), len(gts)), 0.1)
    scores[torch.arange(len(boxes)), cost.argmin(1)] = 0.6
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    priors = torch.cat((middle, torch.full_like(middle, 16.0)), 1)
    return (
        InstanceData(bboxes=boxes, priors=priors, scores=scores),
        InstanceData(bboxes=gts, labels=labels),
    )


def _preds() -> Tensor:
    return torch.tensor(PREDICTIONS).float()


def _gts() -> Tensor:
    return torch.from_numpy(_scene().boxes).float()


def _scene() -> Scene:
    names, *_ = zip(*RECTANGLES)
    x, y, width, height, degrees = np.array(
        [numbers for _, *numbers in RECTANGLES], float
    ).T[..., None]
    angle = np.radians(degrees)
    along = width / 2 * np.array([-1, 1, 1, -1])
    across = height / 2 * np.array([-1, -1, 1, 1])
    corners = np.stack(
        (
            x + along * np.cos(angle) - across * np.sin(angle),
            y + along * np.sin(angle) + across * np.cos(angle),
        ),
        axis=2,
    )
    return Scene(np.array([*map(CLASSES.index, names)]), corners, 0, 0)
