"""What a page is given of an image: plain numbers and texts."""

from __future__ import annotations

import base64
import math
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..costs.whole_batch import batched_cost
from ..matched_images.record import record_last
from ..ot import MatchingProblem, ScalingSolver
from ..visualization.pixels import to_picture
from .anchors import anchor_levels, levels_of, padded_shape
from .question import Answer, Question
from .reasons import explain_objects

__all__ = ['ask_model', 'export_image', 'numbers_of']

# Candidates of all objects together, and how many are shown of each.
_PAIRS, _LISTED, _SIDE = 20_000, 8, 900
# Pairs that may matter when a slider moves, beyond the background's cost.
_NEAR = 0.1
_FAR = 1e3
_LEAST_SHOWN = 0.005


def ask_model(model: nn.Module, sample: dict) -> Question:
    """Asks the assigner of a model about an image.

    Args:
        model (nn.Module): Any detector of mmdet.
        sample (dict): See :func:`..matched_images.record.record_last`.

    Returns:
        Question: Of the last decoder layer, or of what is matched first.
    """
    return Question(record_last(model, sample))


def export_image(
    question: Question,
    sample: dict,
    classes: tuple[str, ...],
    model: nn.Module | None = None,
    candidates: int = 50,
) -> dict[str, Any]:
    """Exports what a page shows of an image.

    Args:
        question (Question): The image.
        sample (dict): Its ``inputs`` (C, H, W) and ``data_samples``.
        classes (tuple[str, ...]): Names of the labels.
        model (nn.Module, optional): For the levels of its anchors.
        candidates (int): Predictions per object that sliders may choose
            from beside those that are about as cheap as the background;
            fewer where there are many objects. Defaults to 50.

    Returns:
        dict: Of plain numbers, texts, lists and dicts; infinity is 'inf'.
    """
    record = question.record
    levels = None
    if model is not None:
        shape = padded_shape(model, tuple(sample['inputs'].shape[1:]))
        levels = levels_of(record.boxes, anchor_levels(model, shape))
    objects = len(record.batch.gts[0])
    count = min(candidates, max(4, _PAIRS // max(objects, 1)))
    best = _best(question, count)
    used = _used(question, best)
    gts = sample['data_samples'].gt_instances
    boxes = record.boxes[used].nan_to_num(0.0)
    picture = to_picture(sample['inputs'])
    page = dict(
        name=Path(sample['data_samples'].get('img_path') or 'image').name,
        picture=_as_uri(picture.rgb),
        width=picture.rgb.shape[1],
        height=picture.rgb.shape[0],
        note=picture.note,
        assigner=type(record.assigner).__name__,
        view=record.result is not None,
        total=len(record.boxes),
        objects=_objects(
            question, gts.labels, classes, best[:, :_LISTED], levels
        ),
        boxes=_rounded(boxes, 1),
        ids=used.tolist(),
        levels=None if levels is None else levels[used].tolist(),
    )
    numbers = numbers_of(question)
    if numbers is not None:
        page['numbers'] = numbers
        page['problem'] = _problem(question, best, used, numbers['epsilon'])
    return page


def numbers_of(question: Question) -> dict[str, Any] | None:
    """The numbers of the sliders; None where nothing can be slid."""
    if not question.is_ours:
        return None
    assigner = question.assigner
    solver, mass = assigner.solver, assigner.mass
    if not isinstance(solver, ScalingSolver) or (
        solver.epsilon_rule == 'support' and solver.epsilon is None
    ):
        return None
    found = solver.numbers(question.problem, mass.tau1, mass.tau2)
    live = question.problem.pred_mass[0] > 0
    background = question.problem.cost[0, live, -1]
    return dict(
        epsilon=float(found.epsilon),
        tau1=_plain(mass.tau1),
        tau2=_plain(mass.tau2),
        background=background.mean().item() if len(background) else 0.0,
        iterations=solver.num_iters,
        relaxation=solver.relaxation,
    )


def _best(question: Question, count: int) -> Tensor:
    """(M, K) int64 the most promising predictions, the best first."""
    if question.is_ours:
        problem = question.problem
        live = problem.pred_mass[0] > 0
        count = min(count, int(live.sum()))
        cost = problem.finite_cost[0, :, :-1].mT.double()
        # What is excluded comes last, the closest first.
        last = cost.max() + 2 - question.ious if cost.numel() else cost
        cost = cost.where(question.candidates, last)
        cost = cost.masked_fill(~live, math.inf)
    else:
        cost = -question.ious
        count = min(count, cost.shape[1])
    return cost.topk(count, dim=1, largest=False).indices


def _used(question: Question, best: Tensor) -> Tensor:
    """(R,) int64, sorted: the best, and what is near the background."""
    used = best.flatten()
    if question.is_ours:
        near = _is_near(question)
        if near.sum() < 10 * _PAIRS:
            used = torch.cat((used, near.any(1).nonzero()[:, 0]))
    return used.unique()


def _is_near(question: Question) -> Tensor:
    """(N, M) bool, pairs that may matter when a slider moves."""
    problem = question.problem
    cost, live = problem.cost[0], ~problem.padding[0, :, :-1]
    return (cost[:, :-1] < cost[:, -1:] + _NEAR) & live


def _objects(
    question: Question,
    labels: Tensor,
    classes: tuple[str, ...],
    listed: Tensor,
    levels: Tensor | None,
) -> list[dict[str, Any]]:
    """Per object what it gets and why, and its (M, K) listed predictions."""
    answer, batch = question.answer, question.record.batch
    reasons = explain_objects(question, levels)
    fields = dict(
        label=[_label(classes, label) for label in labels.tolist()],
        box=_rounded(batch.gt_boxes[0], 1),
        asked=_rounded(answer.asked[0], 3),
        atMost=_at_most(answer),
        got=_rounded(answer.got, 3),
        served=answer.served.tolist(),
        tooMuch=answer.too_much.tolist(),
        text=[reason.text for reason in reasons],
        setting=[_setting(reason.setting) for reason in reasons],
        best=_listed(question, listed, levels),
    )
    if answer.counts is not None:
        fields['count'] = answer.counts.tolist()
    return [dict(zip(fields, values)) for values in zip(*fields.values())]


def _at_most(answer: Answer) -> list[float | str | None]:
    """The greatest masses of ranges; None where one mass is asked for."""
    if answer.plan.gt_range is None:
        return [None] * len(answer.got)
    return list(map(_plain, _rounded(answer.asked[1], 3)))


def _listed(
    question: Question, listed: Tensor, levels: Tensor | None
) -> list[list[dict[str, Any]]]:
    """What is shown of the listed (M, K) predictions of M objects."""
    weights = question.record.plan.weights[0]
    objects = torch.arange(len(listed)).unsqueeze(1)
    fields = dict(
        id=listed.tolist(),
        iou=_rounded(question.ious.gather(1, listed), 3),
        mass=_rounded(weights[listed, objects], 3),
        background=_rounded(weights[listed, -1], 3),
        others=_others(weights, listed),
    )
    if levels is not None:
        fields['level'] = levels[listed].tolist()
    if question.is_ours:
        cost = question.problem.finite_cost[0][listed, objects]
        costs = question.candidates.gather(1, listed)
        costs &= question.answer.takes_part.unsqueeze(1)
        fields['cost'] = [
            [value if has_cost else None for value, has_cost in zip(*rows)]
            for rows in zip(_rounded(cost, 4), costs.tolist())
        ]
        fields['excluded'] = [
            [question.excluding(j, i) or None for i in row]
            for j, row in enumerate(listed.tolist())
        ]
    terms = {
        name: _rounded(term.gather(1, listed), 3)
        for name, term in _terms(question).items()
    }
    return [
        [
            {
                **{name: values[j][k] for name, values in fields.items()},
                'terms': {name: term[j][k] for name, term in terms.items()},
            }
            for k in range(listed.shape[1])
        ]
        for j in range(len(listed))
    ]


def _others(weights: Tensor, listed: Tensor) -> list[list[list]]:
    """Who else wants each: [object, mass], the heaviest three."""
    rows, place = listed.unique(return_inverse=True)
    foreground = weights[rows, :-1]
    top = foreground.topk(min(4, foreground.shape[1]), dim=1)
    wanted = [
        [[j, m] for j, m in zip(*row) if m > _LEAST_SHOWN]
        for row in zip(top.indices.tolist(), _rounded(top.values, 3))
    ]
    return [
        [[pair for pair in wanted[row] if pair[0] != j][:3] for row in of_one]
        for j, of_one in enumerate(place.tolist())
    ]


def _terms(question: Question) -> dict[str, Tensor]:
    """(M, N) of each match cost, as it is before costs are scaled."""
    if not question.is_ours:
        return {}
    names: dict[str, Tensor] = {}
    for cost in question.assigner.match_costs:
        name, number = type(cost).__name__, 2
        while name in names:
            name, number = f'{type(cost).__name__} {number}', number + 1
        term = batched_cost(cost, question.record.batch)[0]
        names[name] = term.nan_to_num(0.0, 1e9, -1e9)
    return names


def _problem(
    question: Question, best: Tensor, used: Tensor, epsilon: float
) -> dict[str, Any]:
    """Pairs of candidates, and all other predictions as one counted row."""
    problem = question.problem
    live = problem.pred_mass[0] > 0
    N, M = int(live.sum()), len(best)
    cost = problem.cost[0]
    kept = torch.zeros_like(cost, dtype=torch.bool)
    kept[:, :-1].scatter_(0, best.mT, True)
    if len(used) * M < 5 * _PAIRS:
        kept[used] = True
    else:
        kept[:, :-1] |= _is_near(question) & kept[:, :-1].any(1, True)
    # What may not be matched is no pair.
    kept &= cost.isfinite()
    kept[used, -1] = True
    row, column = kept[used].nonzero(as_tuple=True)
    costs = cost[used][row, column]
    start = torch.cat((row.new_zeros(1), row.bincount().cumsum(0))).tolist()
    counts = [1] * len(used)
    rest = N - len(used)
    if rest > 0:
        out = kept | ~live.unsqueeze(1)
        others = _rest(cost.double(), out, rest, epsilon)
        column = torch.cat((column, torch.arange(M + 1)))
        costs = torch.cat((costs, others.to(costs)))
        start.append(len(column))
        counts.append(rest)
    return dict(
        start=start,
        column=column.tolist(),
        cost=_rounded(costs, 6),
        rowMass=[1 / max(N, 1)] * len(counts),
        rowCount=counts,
        columnMass=problem.gt_mass[0].tolist(),
        columnRange=_range(problem),
    )


def _range(problem: MatchingProblem) -> list[list[float | str]] | None:
    if problem.gt_range is None:
        return None
    return [list(map(_plain, end)) for end in problem.gt_range[:, 0].tolist()]


def _rest(cost: Tensor, out: Tensor, count: int, epsilon: float) -> Tensor:
    r"""(M + 1,) what all other pairs cost, as if they were of one row.

    With :math:`-\epsilon \log \frac{1}{n} \sum_i \exp(-C_i / \epsilon)` n
    predictions draw as much from an object as they do each with its own cost.
    """
    logs = (-cost / epsilon).masked_fill(out, -math.inf)
    total = -epsilon * (logs.logsumexp(0) - math.log(count))
    return total.clamp(max=_FAR)


def _setting(setting: dict[str, Any] | None) -> dict[str, Any] | None:
    return setting and {k: _plain(v) for k, v in setting.items()}


def _label(classes: tuple[str, ...], label: int) -> str:
    return classes[label] if label < len(classes) else str(label)


def _plain(value: float) -> float | str:
    return 'inf' if value == math.inf else value


def _rounded(values: Tensor, digits: int) -> list:
    return np.round(values.double().cpu().numpy(), digits).tolist()


def _as_uri(rgb: np.ndarray) -> str:
    image = Image.fromarray(rgb)
    image.thumbnail((_SIDE, _SIDE))
    file = BytesIO()
    image.save(file, 'JPEG', quality=85)
    text = base64.b64encode(file.getvalue()).decode()
    return f'data:image/jpeg;base64,{text}'
