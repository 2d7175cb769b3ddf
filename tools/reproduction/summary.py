"""What plans win and lose, detector by detector, in one table and figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from mmdet_uot.visualization.style import COLORS, new_figure, save

from .catalogue import TRAININGS
from .differences import Difference, differences, format_difference
from .markdown import table
from .row_results import RowResults
from .trainings import Settings, collect_results

__all__ = ['write_summary']

# Title -> evaluations, of which a run has one.
PANELS = {
    'with NMS, or needing none': ('nms', 'plain'),
    'without': ('no_nms',),
}

INTRODUCTION = """# What plans win and lose

Points of AP at CPU scale against the stock matching of the same detector, mean
over seeds. In parentheses the difference of each seed, from three seeds on the
95 % interval of the paired t-test. Seeds on which settings were chosen are not
counted.

![summary](summary.png)

"""


@dataclass(frozen=True)
class Comparison:
    """Two rows of an experiment.

    Attributes:
        detector (str): What is trained.
        ours (str): How it is matched.
        stock (str): With what that is compared.
        experiment (str): Its name.
        runs (tuple[str, str]): Names of the runs, ours first.
        epochs (int, optional): Of the schedule. Defaults to the config's.
    """

    detector: str
    ours: str
    stock: str
    experiment: str
    runs: tuple[str, str]
    epochs: int | None = None

    @property
    def label(self) -> str:
        """Its name in the figure."""
        return f'{self.detector}, {self.ours}'


COMPARISONS = (
    Comparison(
        'SSD300',
        'unbalanced OT',
        'two-stage',
        'table2',
        ('ssd300_uot_tau2_0.01', 'ssd300_two_stage'),
        epochs=10,
    ),
    Comparison(
        'SSD300',
        'OT',
        'two-stage',
        'table2',
        ('ssd300_ot', 'ssd300_two_stage'),
        epochs=10,
    ),
    Comparison(
        'RetinaNet',
        'plan',
        'MaxIoU, tuned',
        'families',
        (
            'retinanet_uot_background_cost_0.6_gt_mass_1_inf_tau2_inf',
            'retinanet_pos_iou_thr_0.4_neg_iou_thr_0.4',
        ),
    ),
    Comparison(
        'Faster R-CNN',
        'plan',
        'MaxIoU, tuned',
        'families',
        (
            'faster_rcnn_uot_rpn_background_cost_0.7',
            'faster_rcnn_rpn_pos_iou_thr_0.5',
        ),
    ),
    Comparison(
        'ATSS',
        'plan',
        'ATSS',
        'families',
        ('atss_uot_background_cost_0.7', 'atss'),
    ),
    Comparison(
        'RTMDet',
        'plan',
        'its own',
        'families',
        ('rtmdet_uot_preset_dynamic_soft_label_epsilon_0.05', 'rtmdet'),
    ),
    Comparison(
        'RTMDet, 2 layers',
        'masses 8 to 1',
        'its own',
        'one_to_one',
        ('rtmdet_uot_mass_8_1_by_7_convs_2', 'rtmdet_convs_2'),
    ),
    Comparison(
        'DETR', 'OT', 'Hungarian', 'table1', ('detr_ot', 'detr_hungarian')
    ),
    Comparison(
        'Deformable DETR',
        'OT',
        'Hungarian',
        'table1',
        ('deformable_detr_ot', 'deformable_detr_hungarian'),
    ),
)


def write_summary(settings: Settings) -> None:
    """Writes ``summary.md`` and ``summary.png`` of the results there are.

    Args:
        settings (Settings): Where they are.
    """
    compared = [(one, _differences(one, settings)) for one in COMPARISONS]
    found = [
        (one, by_evaluation)
        for one, by_evaluation in compared
        if any(x.points for x in by_evaluation.values())
    ]
    file = settings.folder / 'summary.md'
    file.write_text(_format(found))
    print(f'table: {file}')
    save(_draw(found), file.with_suffix('.png'))


def _differences(
    comparison: Comparison, settings: Settings
) -> dict[str, Difference]:
    """By evaluation."""
    rows = collect_results(
        TRAININGS[comparison.experiment],
        replace(settings, epochs=comparison.epochs),
    )
    ours, stock = (_row(rows, name) for name in comparison.runs)
    return {x.evaluation: x for x in differences(ours, stock)}


def _row(rows: Sequence[RowResults], name: str) -> RowResults:
    (row,) = (row for row in rows if row.row.run.name == name)
    return row


def _of_panel(
    found: dict[str, Difference], evaluations: Sequence[str]
) -> Difference | None:
    return next((found[e] for e in evaluations if e in found), None)


def _format(found: Sequence[tuple[Comparison, dict[str, Difference]]]) -> str:
    header = ['detector', 'ours', 'against', *PANELS, 'seeds', 'experiment']
    rows = []
    for comparison, by_evaluation in found:
        panels = [_of_panel(by_evaluation, x) for x in PANELS.values()]
        seeds = max(len(x.points) for x in panels if x)
        rows.append(
            [
                comparison.detector,
                comparison.ours,
                comparison.stock,
                *(format_difference(x) if x else '' for x in panels),
                str(seeds),
                f'[{comparison.experiment}]({comparison.experiment}.md)',
            ]
        )
    return INTRODUCTION + table(header, rows) + '\n'


def _draw(
    found: Sequence[tuple[Comparison, dict[str, Difference]]],
) -> Figure:
    figure = new_figure(1.5 + 0.32 * len(found))
    figure.suptitle('A dot per seed, a bar for their mean')
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (title, evaluations) in zip(panels, PANELS.items()):
        axes.axvline(0.0, color='0.4', lw=1)
        for y, (_, by_evaluation) in enumerate(found):
            shown = _of_panel(by_evaluation, evaluations)
            if shown is None or not shown.points:
                continue
            ys = [y] * len(shown.points)
            axes.plot(shown.points, ys, 'o', color=COLORS[0], alpha=0.5)
            axes.plot(shown.mean, y, '|', color=COLORS[1], ms=16, mew=3)
            if shown.interval:
                axes.plot(shown.interval, [y, y], '-', color=COLORS[1])
        axes.set_title(title)
        axes.set_xlabel('points of AP more than stock')
        axes.grid(axis='x', alpha=0.3)
    panels[0].set_yticks(range(len(found)), [one.label for one, _ in found])
    panels[0].invert_yaxis()
    return figure
