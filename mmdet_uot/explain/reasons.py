"""Why objects get little, in words, and the setting that mends it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor

from ..costs import OneMinusIoUCost
from ..costs.matching_cost import MatchingCost
from ..ot import ScalingSolver
from .question import Answer, Question

__all__ = ['Reason', 'explain_objects', 'find_ways', 'has_iou_alone']

# A prediction serves an object that gets this mass of it.
_SERVES = 0.1
_STEP = 0.05
# Entries of a plan beyond which no settings are tried.
_LARGE = 20_000_000


class Reason(NamedTuple):
    """Why an object gets what it gets.

    Attributes:
        text (str): In words.
        setting (dict, optional): What would give it its mass, as
            :func:`.question.with_setting` takes it.
    """

    text: str
    setting: dict[str, Any] | None = None


class Way(NamedTuple):
    """What one kind of setting does for M objects.

    Attributes:
        settings (list[dict | None]): Per object, the first one that serves
            it.
        answers (list[Answer | None]): To each.
    """

    settings: list[dict[str, Any] | None]
    answers: list[Answer | None]


def explain_objects(
    question: Question, levels: Tensor | None = None
) -> list[Reason]:
    """Says for each object why it gets what it gets.

    Args:
        question (Question): One image.
        levels (Tensor, optional): (N,) int64 level of the pyramid of each
            prediction.

    Returns:
        list[Reason]: Per object.
    """
    answer = question.answer
    served, too_much = answer.served.tolist(), answer.too_much.tolist()
    if not question.is_ours:
        return [_stock(question, j) for j in range(len(served))]
    ways = find_ways(question)

    def explain(j: int) -> Reason:
        if not answer.takes_part[j]:
            return Reason(_idle(question, j))
        if too_much[j]:
            return _too_much(question, j, ways)
        if served[j]:
            return Reason(_enough(question, j))
        return _little(question, j, ways, levels)

    return [explain(j) for j in range(len(served))]


def find_ways(question: Question) -> list[Way]:
    """Tries settings until all objects get what they ask for, if they do."""
    answer = question.answer
    hungry = answer.takes_part & ~answer.served
    amiss = hungry | answer.too_much
    if not bool(amiss.any()) or _is_large(question):
        return []
    background, *firmer = _settings(question)
    # A greater background cost takes no mass from objects.
    return [
        _try(question, hungry, background),
        *(_try(question, amiss, settings) for settings in firmer),
    ]


def _is_large(question: Question) -> bool:
    return question.problem.cost.numel() > _LARGE


def _try(
    question: Question, amiss: Tensor, settings: Iterator[dict[str, Any]]
) -> Way:
    way = Way([None] * len(amiss), [None] * len(amiss))
    for setting in settings:
        if not bool(amiss.any()):
            break
        try:
            answer = question.ask(**setting)
        except ValueError:
            # A preset fixes it, or the matcher knows no such number.
            break
        mended = amiss & answer.served & ~answer.too_much
        for j in mended.nonzero()[:, 0].tolist():
            way.settings[j], way.answers[j] = setting, answer
        amiss = amiss & ~mended
    return way


def _settings(question: Question) -> list[Iterator[dict[str, Any]]]:
    cost, assigner = question.assigner.cost, question.assigner
    given = cost.background_cost
    most = float(question.problem.finite_cost[0, :, :-1].amax())
    if isinstance(given, float):
        first = math.floor(given / _STEP + 1e-6) + 1
        last = math.ceil(max(most, given + 1) / _STEP)
        background = (
            dict(background_cost=round(k * _STEP, 4))
            for k in range(first, last + 2)
        )
    else:
        background = (
            dict(more_background=round(k * _STEP, 4))
            for k in range(1, math.ceil(1 / _STEP) + 1)
        )
    taus = [x for x in (0.1, 1.0, 10.0, math.inf) if x > assigner.mass.tau2]
    iterations: list[int] = []
    if isinstance(assigner.solver, ScalingSolver):
        now = assigner.solver.num_iters
        iterations = [x for x in (100, 1000) if x > now]
    return [
        background,
        iter([dict(tau2=tau) for tau in taus]),
        iter([dict(num_iters=count) for count in iterations]),
    ]


def _stock(question: Question, j: int) -> Reason:
    name = type(question.record.assigner).__name__
    count = int(question.answer.counts[j])
    iou = question.ious[j].max().item() if question.ious.shape[1] else 0.0
    return Reason(
        f'{name} matched {question.count(count)} to it; the closest has IoU '
        f'{iou:.2f}.'
    )


def _enough(question: Question, j: int) -> str:
    answer = question.answer
    weights = answer.plan.foreground[0, :, j]
    many, most = int((weights > _SERVES).sum()), weights.max().item()
    text = _got(answer, j)
    if many:
        text += f', more than {_SERVES} of each of {question.count(many)}'
    elif most > 0:
        text += f', spread out: at most {most:.2g} from one'
    text += '.'
    if answer.counts is not None:
        text += f' The head gets {question.count(int(answer.counts[j]))}.'
    return text


def _got(answer: Answer, j: int) -> str:
    got = f'It gets {answer.got[j]:.2f}'
    least, greatest = answer.asked[:, j].tolist()
    if answer.plan.gt_range is None:
        return f'{got} of {least:.2f}'
    if greatest == math.inf:
        return f'{got} (it asks for {least:.2f} or more)'
    return f'{got} (it asks for {least:.2f} to {greatest:.2f})'


def _idle(question: Question, j: int) -> str:
    """Why an object takes no part."""
    live = question.problem.pred_mass[0] > 0
    if not bool(live.any()):
        return 'No prediction takes part.'
    if not question.record.batch.gt_valid()[0, j]:
        return 'It takes no part: its box has no area or is no number.'
    if not question.all_excluded[j]:
        return 'It takes no part: it asks for no mass.'
    many = question.count(int(live.sum()))
    text = f'It takes no part: {_rules(question, j)} all {many}.'
    closest = question.ious[j].masked_fill(~live, -1.0).amax().item()
    return f'{text} The closest has IoU {closest:.2f}.'


def _rules(question: Question, j: int) -> str:
    """Who excludes all candidates of an object: one rule, or only several."""
    live = question.problem.pred_mass[0] > 0
    for name, excluded in question.excluded:
        if bool((excluded[j] | ~live).all()):
            return f'{name} excludes'
    names = ' and '.join(name for name, _ in question.excluded)
    return f'{names} together exclude'


def _too_much(question: Question, j: int, ways: list[Way]) -> Reason:
    text = f'{_got(question.answer, j)}: too much'
    found = [way.settings[j] for way in ways if way.settings[j] is not None]
    if not found:
        return Reason(f'{text}.')
    written = ', or if '.join(map(_written, found))
    return Reason(f'{text}, but not if {written}.', found[0])


def _little(
    question: Question, j: int, ways: list[Way], levels: Tensor | None
) -> Reason:
    answer = question.answer
    text = f'{_got(answer, j)}: {_cause(question, j)}.'
    text += _closer(question, j)
    found = [
        (way.settings[j], way.answers[j])
        for way in ways
        if way.settings[j] is not None
    ]
    if not found and _is_large(question):
        return Reason(f'{text} With so many pairs no settings were tried.')
    if not found:
        return Reason(
            f'{text} No background cost, tau2 or number of iterations alone '
            'gives it its mass: it needs others to match.'
        )
    (setting, after), *others = found
    text += f' {_serving(question, after, j, levels)} if {_written(setting)}'
    for other, _ in others:
        text += f', or if {_written(other)}'
    return Reason(f'{text}.', setting)


def _cause(question: Question, j: int) -> str:
    problem = question.problem
    live = problem.pred_mass[0] > 0
    cost = problem.cost[0, :, j].masked_fill(~live, math.inf)
    i = int(cost.argmin())
    least, background = cost[i].item(), problem.cost[0, i, -1].item()
    many = _choice(question, j)
    if least >= background:
        if has_iou_alone(question.assigner.cost):
            return (
                f'the closest of {many} has IoU {question.ious[j, i]:.2f} < '
                f'{1 - background:.2g} = 1 - background_cost'
            )
        return (
            f'the cheapest of {many} costs {least:.2f} > {background:.2g}, '
            'the background'
        )
    weights = question.answer.plan.weights[0]
    cheap = (cost < problem.cost[0, :, -1]).nonzero()[:, 0]
    given = weights[cheap, :-1].sum(0)
    given[j] = 0.0
    names = f'{question.count(len(cheap))} cheaper than the background'
    if given.sum() > 0.5 * len(cheap):
        to = given.argsort(descending=True)[:3].tolist()
        rivals = ', '.join(str(k) for k in to if given[k] > 0.05)
        return f'it has {names}, but they go to the objects {rivals}'
    if question.answer.counts is not None:
        return f'it has {names}, but is the best of none in the view'
    return (
        f'it has {names}, the best by no more than '
        f'{background - least:.2f} (cost {least:.2f}, background '
        f'{background:.2g})'
    )


def _choice(question: Question, j: int) -> str:
    """How many predictions an object may be matched to."""
    many = question.count(int(question.candidates[j].sum()))
    if not question.excluded:
        return many
    names = ' and '.join(name for name, _ in question.excluded)
    return f'{many} that {names} allow{"s" * (len(question.excluded) == 1)}'


def _closer(question: Question, j: int) -> str:
    """Says that a prediction closer than all candidates is excluded."""
    if not question.excluded:
        return ''
    live = question.problem.pred_mass[0] > 0
    ious = question.ious[j].masked_fill(~live, -1.0)
    closest = int(ious.argmax())
    if ious[closest] <= ious[question.candidates[j]].max():
        return ''
    return (
        f' {question.excluding(j, closest)} excludes a closer one, IoU '
        f'{ious[closest]:.2f}.'
    )


def _serving(
    question: Question, answer: Answer, j: int, levels: Tensor | None
) -> str:
    """Which predictions would serve."""
    weights = answer.plan.foreground[0, :, j]
    serving = (weights > _SERVES).nonzero()[:, 0]
    if not len(serving):
        serving = weights.argmax()[None]
    many = question.count(len(serving))
    if levels is not None:
        at = levels[serving].unique().tolist()
        many += f' of level{"s" * (len(at) > 1)} ' + ', '.join(map(str, at))
    return f'{many} would serve'


def _written(setting: dict[str, Any]) -> str:
    ((name, value),) = setting.items()
    if name == 'more_background':
        return f'every background_cost were greater by {value:g}'
    written = "'inf'" if value == math.inf else f'{value:g}'
    return f'{name} were {written}'


def has_iou_alone(cost: MatchingCost) -> bool:
    """Whether costs are 1 - IoU, and in that unit."""
    if len(cost.match_costs) != 1 or not cost.scale.is_unit:
        return False
    (only,) = cost.match_costs
    return isinstance(only, OneMinusIoUCost) and only.iou_mode == 'iou'
