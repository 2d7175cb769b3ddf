"""A survey as numbers, as a table and as a picture."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..assigners import PlanAssigner
from ..visualization.style import COLORS, new_figure
from .survey import Survey

__all__ = ['as_lines', 'draw', 'summarize']

# Sides are roots of areas, in pixels of the resized image.
_SIDES = (0, 8, 16, 32, 64, 128, 256, 1e9)
_SHARED = (0, 1, 2, 3, 5, 9, 17, 10**9)
# Classes in table and picture, those with the most little objects first.
_CLASSES = 15
_BLUE, _VERMILLION, _GREEN, *_ = COLORS


def summarize(survey: Survey, classes: tuple[str, ...]) -> dict[str, Any]:
    """The numbers of a survey.

    Args:
        survey (Survey): Of K objects.
        classes (tuple[str, ...]): Names of the labels.

    Returns:
        dict: Plain lists and numbers. Objects with ``little`` get less than
        0.9 of the mass that they ask for, the least of a range, or no
        prediction where the head knows no plans. ``too_much`` counts those
        beyond their range, None without one. Those without area, those that
        ask for no mass, and those of which rules exclude every prediction take
        no part.
    """
    asked, got = survey.joined('asked'), survey.joined('got')
    takes_part = survey.joined('takes_part').bool()
    excluded = survey.joined('excluded').bool()
    little = takes_part & ~survey.joined('served').bool()
    boxes = survey.joined('boxes').reshape(-1, 4)
    side = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1).sqrt()
    labels = survey.joined('labels').long()
    mended = survey.joined('mended')[little]
    values = sorted({*mended[~mended.isnan()].tolist()})
    total = survey.levels.sum().item()
    return dict(
        images=survey.images,
        objects=len(asked),
        without_area=int((~(side > 0)).sum()),
        weightless=int(((side > 0) & ~takes_part & ~excluded).sum()),
        excluded=int(excluded.sum()),
        little=int(little.sum()),
        too_much=_too_much(survey),
        background_cost=_background(survey),
        mean_mass=got[takes_part].mean().item() if takes_part.any() else 0.0,
        by_side=_classes(_SIDES, side[takes_part], little[takes_part]),
        by_class=_by_class(labels[takes_part], little[takes_part], classes),
        levels=[
            dict(level=level, mass=mass, share=mass / total if total else 0)
            for level, mass in enumerate(survey.levels.tolist())
        ],
        sharing=_classes(_SHARED, survey.joined('sharing')[takes_part]),
        background=[
            dict(
                background_cost=round(value, 4),
                little=int((mended.isnan() | (mended > value + 1e-6)).sum()),
            )
            for value in values
        ],
    )


def _too_much(survey: Survey) -> int | None:
    assigner = survey.assigner
    if not isinstance(assigner, PlanAssigner) or not assigner.mass.has_range:
        return None
    return int(survey.joined('too_much').sum())


def _background(survey: Survey) -> float | None:
    """That of the config, if it is one number."""
    if not isinstance(survey.assigner, PlanAssigner):
        return None
    given = survey.assigner.cost.background_cost
    return given if isinstance(given, float) else None


def _classes(
    ends: tuple[float, ...], values: Tensor, little: Tensor | None = None
) -> list[dict[str, Any]]:
    """Numbers of values in [low, high), those that there are."""
    found = []
    for low, high in zip(ends, ends[1:]):
        mine = (values >= low) & (values < high)
        if not mine.any():
            continue
        row = {'from': low, 'below': high if high < 1e9 else None}
        row['objects'] = int(mine.sum())
        if little is not None:
            row['little'] = int((mine & little).sum())
        found.append(row)
    return found


def _by_class(
    labels: Tensor, little: Tensor, classes: tuple[str, ...]
) -> list[dict[str, Any]]:
    count = len(classes)
    objects = labels.bincount(minlength=count).tolist()
    of_little = labels[little].bincount(minlength=count).tolist()
    return [
        {'class': name, 'objects': there, 'little': bad}
        for name, there, bad in zip(classes, objects, of_little)
    ]


def as_lines(found: dict[str, Any]) -> list[str]:
    """A table to print.

    Args:
        found (dict): See :func:`summarize`, with ``anchors`` if there are
            some to suggest.

    Returns:
        list[str]: No name breaks a line.
    """
    lines = [
        f'{found["images"]:,} images, {found["objects"]:,} objects, '
        f'{found["without_area"]:,} of them without area'
        + _idle(found)
        + f'; the others get {found["mean_mass"]:.2f} on average',
        f'{_share(found["little"], found)} get too little',
    ]
    if found['too_much'] is not None:
        lines.append(
            f'{_share(found["too_much"], found)} get more than their range'
        )
    lines += [
        '',
        f'{"side, pixels":24}{"objects":>10}{"too little":>12}',
    ]
    lines += [_row(_range(row), row) for row in found['by_side']]
    lines += ['', f'{"class":24}{"objects":>10}{"too little":>12}']
    lines += [_row(row['class'], row) for row in _worst(found)]
    left = len(found['by_class']) - _CLASSES
    lines += [f'and {left} more classes'] * (left > 0)
    if found['levels']:
        lines += ['', f'{"level":24}{"mass":>10}{"share":>12}']
        lines += [
            f'{row["level"]:<24}{row["mass"]:>10,.0f}{row["share"]:>11.1%}'
            for row in found['levels']
        ]
    lines += ['', f'{"predictions per object":24}{"objects":>10}']
    lines += [
        f'{_range(row):24}{row["objects"]:>10,}' for row in found['sharing']
    ]
    if found['background']:
        lines += ['', f'{"background_cost":24}{"too little":>10}']
        lines += [
            f'{row["background_cost"]:<24g}{row["little"]:>10,}'
            for row in found['background']
        ]
    lines += _anchor_lines(found.get('anchors', []))
    return lines


def _idle(found: dict[str, Any]) -> str:
    text = ''
    if found['weightless']:
        text += f', {found["weightless"]:,} that ask for no mass'
    if found['excluded']:
        text += f', {found["excluded"]:,} with all predictions excluded'
    return text


def _anchor_lines(anchors: list[dict[str, Any]]) -> list[str]:
    if not anchors:
        return []
    return ['', 'anchors that would serve objects that get too little:'] + [
        f'{anchor["width"]:.0f} x {anchor["height"]:.0f} pixels on level '
        f'{anchor["level"]}: {anchor["objects"]:,}'
        + (' more' if index else '')
        for index, anchor in enumerate(anchors)
    ]


def _worst(found: dict[str, Any]) -> list[dict[str, Any]]:
    def share(row: dict[str, Any]) -> float:
        return row['little'] / max(row['objects'], 1)

    return sorted(found['by_class'], key=share, reverse=True)[:_CLASSES]


def _row(name: str, row: dict[str, Any]) -> str:
    share = row['little'] / max(row['objects'], 1)
    return f'{_printable(name):24}{row["objects"]:>10,}{share:>11.1%}'


def _printable(name: str, length: int = 23) -> str:
    """Names come from files of others."""
    shown = ''.join(x if x.isprintable() else '?' for x in name)
    return shown if len(shown) <= length else f'{shown[: length - 3]}...'


def _range(row: dict[str, Any]) -> str:
    low, high = row['from'], row['below']
    if high is None:
        return f'{low:g} or more'
    if isinstance(low, int) and high == low + 1:
        return f'{low:g}'
    return f'{low:g} to below {high:g}'


def _share(part: int, found: dict[str, Any]) -> str:
    return f'{part:,} ({part / _there(found):.1%})'


def _there(found: dict[str, Any]) -> int:
    """How many take part, 1 if none does."""
    idle = sum(found[x] for x in ('without_area', 'weightless', 'excluded'))
    return max(found['objects'] - idle, 1)


def draw(found: dict[str, Any], title: str) -> Figure:
    """Draws the numbers of a survey.

    Args:
        found (dict): See :func:`summarize`.
        title (str): Any text.

    Returns:
        Figure: Share of objects that get too little by side, class and
        background cost; masses per level, or sharing where there are none.
    """
    figure = new_figure(5.5)
    figure.suptitle(title, parse_math=False)
    axes = figure.subplots(2, 2)
    _bars(axes[0, 0], 'too little, by side in pixels', [
        (_range(row), row['little'] / row['objects'], row['objects'])
        for row in found['by_side']
    ])  # fmt: skip
    _bars(axes[0, 1], 'too little, by class', [
        (
            _printable(row['class'], 15),
            row['little'] / max(row['objects'], 1),
            row['objects'],
        )
        for row in _worst(found)[:8]
    ])  # fmt: skip
    if found['levels']:
        _bars(axes[1, 0], 'mass per level', [
            (f'level {row["level"]}', row['share'], row['mass'])
            for row in found['levels']
        ], _BLUE)  # fmt: skip
    else:
        there = _there(found)
        _bars(axes[1, 0], 'predictions per object', [
            (_range(row), row['objects'] / there, row['objects'])
            for row in found['sharing']
        ], _BLUE)  # fmt: skip
    _draw_background(axes[1, 1], found)
    return figure


def _bars(
    axes: Axes,
    title: str,
    rows: list[tuple[str, float, float]],
    color: str = _VERMILLION,
) -> None:
    """Shares as bars, with the numbers that they are of."""
    axes.set_title(title, fontsize=10)
    places = range(len(rows))
    axes.barh(places, [share for _, share, _ in rows], color=color)
    axes.set_yticks(places, [name for name, *_ in rows], parse_math=False)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(_percent)
    most = max([share for _, share, _ in rows], default=0) or 1e-2
    axes.set_xlim(0, 1.4 * most)
    for place, (_, share, count) in enumerate(rows):
        axes.annotate(
            f'{share:.1%} of {count:,.0f}' if color == _VERMILLION
            else f'{count:,.0f}',
            (share, place),
            (3, 0),
            textcoords='offset points',
            va='center',
            fontsize=8,
        )  # fmt: skip


def _draw_background(axes: Axes, found: dict[str, Any]) -> None:
    axes.set_title('too little, by background cost', fontsize=10)
    rows = found['background']
    if not rows:
        axes.text(0.5, 0.5, 'no value tried serves more', ha='center')
        axes.set_axis_off()
        return
    there = _there(found)
    first = (found['background_cost'], found['little'])
    values = [first, *((x['background_cost'], x['little']) for x in rows)]
    axes.plot(
        [value for value, _ in values],
        [little / there for _, little in values],
        color=_GREEN,
        marker='o',
        markersize=4,
    )
    axes.yaxis.set_major_formatter(_percent)
    axes.set_xticks([value for value, _ in values])
    axes.set_ylim(bottom=0)


def _percent(share: float, _: int) -> str:
    return f'{100 * share:.3g} %'
