"""What the objects of a whole data set get, without training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Any, NamedTuple

import torch
from mmdet.models.task_modules.assigners import BaseAssigner
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..assigners import PlanAssigner, match_batch
from ..heads.grid_anchors import GridAnchors
from ..inputs.from_instances import InstanceBatch
from ..inputs.ground_truths import GroundTruths
from ..matched_images.record import record_last
from ..ot import TransportPlan, WeightedPairs
from .anchors import (
    anchor_head,
    feature_sizes,
    padded_shape,
)
from .question import Question, is_served, is_too_much, with_setting

__all__ = ['SHARES', 'Survey', 'survey_anchors', 'survey_questions']

# A prediction shares an object that gets this mass of it.
SHARES = 0.1
_BATCH = 64
_STEP = 0.05
# Pairs of less mass count for no level.
_LEAST_MASS = 1e-3


@dataclass
class Survey:
    """Numbers of K objects.

    Attributes:
        images (int): How many were looked at.
        labels (list[Tensor]): (K,) in parts, as all that follows.
        boxes (list[Tensor]): (K, 4) in pixels of the resized image.
        asked (list[Tensor]): (K,) mass, the least of a range; 0 of those that
            take no part.
        takes_part (list[Tensor]): (K,) bool, whether anything is asked for.
        excluded (list[Tensor]): (K,) bool, whether rules for candidates
            exclude every prediction.
        got (list[Tensor]): (K,) mass.
        served (list[Tensor]): (K,) bool, whether that is enough.
        too_much (list[Tensor]): (K,) bool, whether the mass is beyond the
            range asked for.
        sharing (list[Tensor]): (K,) predictions that share the object.
        mended (list[Tensor]): (K,) the least background cost that serves the
            object, NaN if none does or none is needed.
        levels (Tensor): (L,) mass that anchors of each level give.
        shapes (set): Heights and widths of the padded images.
        assigner (BaseAssigner, optional): Who matched.
    """

    images: int = 0
    labels: list[Tensor] = field(default_factory=list)
    boxes: list[Tensor] = field(default_factory=list)
    asked: list[Tensor] = field(default_factory=list)
    takes_part: list[Tensor] = field(default_factory=list)
    excluded: list[Tensor] = field(default_factory=list)
    got: list[Tensor] = field(default_factory=list)
    served: list[Tensor] = field(default_factory=list)
    too_much: list[Tensor] = field(default_factory=list)
    sharing: list[Tensor] = field(default_factory=list)
    mended: list[Tensor] = field(default_factory=list)
    levels: Tensor = field(default_factory=lambda: torch.zeros(0))
    shapes: set[tuple[int, int]] = field(default_factory=set)
    assigner: BaseAssigner | None = None

    def joined(self, name: str) -> Tensor:
        """All parts of an attribute."""
        parts = getattr(self, name)
        return torch.cat(parts) if parts else torch.zeros(0)


class Matches(NamedTuple):
    """What the objects of B images are matched to.

    Attributes:
        plan (TransportPlan): (B, N, M + 1) weights, those of the hard view
            for heads that know no plans.
        asked (Tensor): (2, B, M) least and greatest mass asked for.
        too_much (Tensor): (B, M) bool, whether the mass exceeds that.
        is_hard (bool): Whether the head knows no plans.
    """

    plan: TransportPlan
    asked: Tensor
    too_much: Tensor
    is_hard: bool

    @property
    def takes_part(self) -> Tensor:
        """(B, M) bool, whether an object asks for anything."""
        return self.asked[1] > 0

    @property
    def got(self) -> Tensor:
        """(B, M) mass."""
        return self.plan.gt_marginal[:, :-1]

    @property
    def served(self) -> Tensor:
        """(B, M) bool, whether that is enough."""
        return is_served(self.got, self.asked, self.is_hard)


@dataclass(frozen=True)
class Batch:
    """Images of one padded shape, as an assigner is given them."""

    preds: list[InstanceData]
    gts: list[InstanceData]
    metas: list[dict]
    ignored: list[InstanceData | None]

    def match(self, assigner: BaseAssigner, is_hard: bool) -> Matches:
        """Matches the images.

        Args:
            assigner (BaseAssigner): Any.
            is_hard (bool): Whether the head knows no plans.
        """
        plan = match_batch(
            assigner, self.preds, self.gts, self.metas, self.ignored
        )
        asked, too_much = plan.gt_asked[..., :-1], is_too_much(plan)
        if not isinstance(assigner, PlanAssigner):
            asked = self._has_area().to(asked).expand(2, -1, -1)
        elif is_hard:
            indices = assigner.view.indices(plan, assigner.mass)
            plan = TransportPlan.from_indices(
                indices, asked.shape[2], plan.pred_mass == 0
            )
        return Matches(plan, asked, too_much, is_hard)

    def excluded(self, assigner: BaseAssigner, matches: Matches) -> Tensor:
        """(B, M) bool, objects of which all predictions are excluded."""
        idle = self._has_area() & ~matches.takes_part
        if not isinstance(assigner, PlanAssigner) or not bool(idle.any()):
            return torch.zeros_like(idle)
        rules = assigner.cost.candidates
        if rules is None:
            return torch.zeros_like(idle)
        allowed = rules(InstanceBatch(self.preds, self.gts, self.metas))
        allowed = allowed & (matches.plan.pred_mass > 0).unsqueeze(1)
        return idle & ~allowed.any(2)

    def some(self, images: Sequence[int]) -> Batch:
        """The batch of some of the images."""
        return Batch(
            *(
                [values[image] for image in images]
                for values in (self.preds, self.gts, self.metas, self.ignored)
            )
        )

    def _has_area(self) -> Tensor:
        gts = GroundTruths(self.gts, self.metas, torch.device('cpu'))
        return gts.valid


def survey_anchors(model: nn.Module, samples: Iterable[dict]) -> Survey:
    """Matches the anchors of a detector with images, in batches.

    Args:
        model (nn.Module): With :func:`.anchors.anchor_head`.
        samples (Iterable[dict]): ``inputs`` (C, H, W), looked at only for the
            shape, and ``data_samples``. The first one with objects is shown
            to the model, to see how its head asks.

    Returns:
        Survey: Of all objects.

    Raises:
        ValueError: If no image has objects, or the head has other anchors
            than its generator says.
    """
    head = anchor_head(model)
    assigner = head.assigner
    if isinstance(assigner, PlanAssigner):
        # What it would tell of is told by the survey.
        assigner = with_setting(assigner)
    survey = Survey(assigner=assigner)
    generator = head.prior_generator
    survey.levels = torch.zeros(generator.num_levels, dtype=torch.float64)
    anchors = GridAnchors(generator, head.train_cfg['allowed_border'])
    samples, is_hard = _see_how(model, samples, anchors)

    def shape_of(sample: dict) -> tuple[int, int]:
        return padded_shape(model, tuple(sample['inputs'].shape[1:]))

    for shape, group in groupby(_light(samples, shape_of), lambda x: x[0]):
        sizes = feature_sizes(generator, shape)
        survey.shapes.add(shape)
        counts = [
            height * width * base
            for (height, width), base in zip(sizes, generator.num_base_priors)
        ]
        level = torch.arange(len(sizes)).repeat_interleave(
            torch.tensor(counts)
        )
        for part in _chunks((data for _, data in group), _BATCH):
            survey.images += len(part)
            batch = _batch(part, anchors, sizes)
            if batch is None:
                continue
            _add(survey, assigner, batch, level, is_hard)
    return survey


def survey_questions(questions: Iterable[Question]) -> Survey:
    """What the objects of images get of a model's predictions.

    Args:
        questions (Iterable[Question]): An image each.

    Returns:
        Survey: Without levels.
    """
    survey = Survey()
    for question in questions:
        survey.images += 1
        survey.assigner = question.record.assigner
        if len(question.answer.got):
            _add_image(survey, question)
    return survey


def _add_image(survey: Survey, question: Question) -> None:
    batch, answer = question.record.batch, question.answer
    hard, weights = answer.counts, answer.plan.foreground[0]
    survey.labels.append(batch.gts[0].labels)
    survey.boxes.append(batch.gt_boxes[0])
    survey.asked.append(answer.asked[0])
    survey.takes_part.append(answer.takes_part)
    survey.excluded.append(question.all_excluded)
    survey.got.append(answer.got if hard is None else hard.float())
    survey.served.append(answer.served)
    survey.too_much.append(answer.too_much)
    survey.sharing.append((weights > SHARES).sum(0) if hard is None else hard)
    mended = torch.full((len(answer.got),), math.nan)
    hungry = answer.takes_part & ~answer.served
    if question.is_ours:

        def serve(_: PlanAssigner, setting: dict[str, float]) -> Tensor:
            return question.ask(**setting).served

        _mend(question.assigner, hungry, mended, serve)
    survey.mended.append(mended)


def _see_how(
    model: nn.Module, samples: Iterable[dict], anchors: GridAnchors
) -> tuple[Iterable[dict], bool]:
    """All samples, and whether the head of a model knows no plans."""
    seen, rest = [], iter(samples)
    for sample in rest:
        seen.append(sample)
        if not len(sample['data_samples'].get('gt_instances', [])):
            continue
        record = record_last(model, sample)
        img_shape = tuple(sample['inputs'].shape[1:])
        shape = padded_shape(model, img_shape)
        sizes = feature_sizes(anchors.generator, shape)
        cpu = torch.device('cpu')
        meta = dict(pad_shape=shape, img_shape=img_shape)
        inside = anchors.inside(sizes, meta, cpu)
        expected = (
            anchors.anchors(sizes, cpu) if inside is None else inside.anchors
        )
        if not torch.equal(record.boxes, expected):
            raise ValueError(
                'the head matches other anchors than those of its generator '
                f'for an image of {shape}: the feature maps are not as large '
                'as the image divided by the strides'
            )
        return chain(seen, rest), record.result is not None
    raise ValueError('no image has objects')


def _light(
    samples: Iterable[dict], shape_of: Callable[[dict], tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], Any]]:
    """Shapes and data samples: a batch needs no pixels in memory."""
    for sample in samples:
        data, shape = sample['data_samples'], shape_of(sample)
        data.set_metainfo(
            dict(pad_shape=shape, img_shape=sample['inputs'].shape[1:])
        )
        yield shape, data


def _chunks(values: Iterator[Any], size: int) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for value in values:
        chunk.append(value)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _batch(
    data: list[Any], anchors: GridAnchors, sizes: list[tuple[int, int]]
) -> Batch | None:
    """The images that have objects."""
    data = [x for x in data if len(x.gt_instances)]
    if not data:
        return None
    cpu = torch.device('cpu')
    everywhere = anchors.anchors(sizes, cpu)
    whole, preds = InstanceData(priors=everywhere), []
    for x in data:
        inside = anchors.inside(sizes, x.metainfo, cpu)
        preds.append(
            whole
            if inside is None
            else InstanceData(
                metainfo=dict(out_of=len(everywhere)),
                priors=inside.anchors,
                index=inside.index,
            )
        )
    gts = [x.gt_instances.new() for x in data]
    for gt in gts:
        gt.bboxes = get_box_tensor(gt.bboxes)
    ignored = [x.get('ignored_instances') for x in data]
    for x in ignored:
        if x is not None:
            x.bboxes = get_box_tensor(x.bboxes)
    return Batch(preds, gts, [x.metainfo for x in data], ignored)


def _add(
    survey: Survey,
    assigner: BaseAssigner,
    batch: Batch,
    level: Tensor,
    is_hard: bool,
) -> None:
    matches = batch.match(assigner, is_hard)
    got, served = matches.got, matches.served
    counts = torch.tensor([len(gt) for gt in batch.gts])
    there = torch.arange(got.shape[1]) < counts.unsqueeze(1)
    pairs = matches.plan.pairs(_LEAST_MASS)
    survey.levels += _of_levels(batch, pairs, level, len(survey.levels))
    shared = torch.zeros_like(got, dtype=torch.int64)
    many = pairs.mass > SHARES
    shared.index_put_(
        (pairs.image[many], pairs.ground_truth[many]),
        torch.ones_like(pairs.image[many]),
        accumulate=True,
    )
    survey.labels.append(torch.cat([gt.labels for gt in batch.gts]))
    survey.boxes.append(torch.cat([gt.bboxes for gt in batch.gts]))
    for parts, values in (
        (survey.asked, matches.asked[0]),
        (survey.takes_part, matches.takes_part),
        (survey.excluded, batch.excluded(assigner, matches)),
        (survey.got, got),
        (survey.served, served),
        (survey.too_much, matches.too_much),
        (survey.sharing, shared),
    ):
        parts.append(values[there])
    mended = torch.full_like(got, math.nan)
    hungry = there & matches.takes_part & ~served
    if isinstance(assigner, PlanAssigner):
        _mend(
            assigner,
            hungry,
            mended,
            lambda changed, _: _serve(changed, batch, hungry, is_hard),
        )
    survey.mended.append(mended[there])


def _serve(
    assigner: PlanAssigner, batch: Batch, hungry: Tensor, is_hard: bool
) -> Tensor:
    """(B, M) bool; of images without hungry objects nothing is asked."""
    images = hungry.any(1).nonzero()[:, 0]
    served = batch.some(images.tolist()).match(assigner, is_hard).served
    result = torch.zeros_like(hungry)
    result[images, : served.shape[1]] = served
    return result


def _mend(
    assigner: PlanAssigner,
    hungry: Tensor,
    mended: Tensor,
    serve: Callable[[PlanAssigner, dict[str, float]], Tensor],
) -> None:
    """Notes the least background cost that serves each hungry object."""
    given = assigner.cost.background_cost
    if not isinstance(given, float):
        return
    value = (math.floor(given / _STEP + 1e-6) + 1) * _STEP
    while bool(hungry.any()) and value < given + 1:
        setting = dict(background_cost=round(value, 4))
        served = hungry & serve(with_setting(assigner, **setting), setting)
        mended[served] = setting['background_cost']
        # In place: the next value is tried with those that are left.
        hungry &= ~served
        value += _STEP


def _of_levels(
    batch: Batch, pairs: WeightedPairs, level: Tensor, count: int
) -> Tensor:
    """(L,) mass of each level."""
    rows = pairs.prediction.clone()
    for image, pred in enumerate(batch.preds):
        if 'index' in pred:
            mine = pairs.image == image
            rows[mine] = pred.index[rows[mine]]
    total = torch.zeros(count, dtype=torch.float64)
    return total.index_add_(0, level[rows], pairs.mass.double())
