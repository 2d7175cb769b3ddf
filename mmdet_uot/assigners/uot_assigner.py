"""Match costs to a transport plan, for a whole batch."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from mmdet.models.task_modules.assigners import AssignResult, BaseAssigner
from mmdet.models.task_modules.assigners.match_cost import (
    BaseMatchCost,
)
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from .._options import check_choice
from ..costs.matching_cost import ProblemBuilder
from ..inputs.from_decoder import TensorBatch
from ..inputs.from_instances import InstanceBatch
from ..inputs.instances import check_instances
from ..inputs.match_batch import MatchBatch
from ..ot import TransportPlan, concatenate, full_precision
from .hard_view import to_assign_result
from .matcher import PRESETS, Matcher

__all__ = ['UOTAssigner']

HARD_VIEWS = ('best_ground_truth', 'best_prediction', 'one_to_one')


@TASK_UTILS.register_module()
class UOTAssigner(BaseAssigner):
    r"""Assigns by Unbalanced Optimal Transport (paper, Def. 4).

    Without options this is the paper's setting for SSD: the cost is 1 - IoU
    of the ground truths with the anchors (or boxes), the background costs
    0.5, the predictions' mass is all but fixed and the ground truths' mass
    all but free.

    Heads that know plans call :meth:`match` with the batch. Every other head
    of mmdet calls :meth:`assign` with one image and gets one of the hard
    views of the same plan.

    Args:
        match_costs (list[dict] | dict, optional): Match costs, added up;
            mmdet's own or any other of its interface. Box costs work on
            ``priors`` where predictions have no ``bboxes``. Defaults to
            ``OneMinusIoUCost``.
        background_cost (float | Sequence): Cost of matching a prediction to
            the background, in the unit of the match costs: one number, one
            per prediction, or pairs (cost, number of predictions) for runs of
            them, such as the levels of a pyramid. Defaults to 0.5.
        preset (str, optional): A classical matcher by name, which fixes
            tau1, tau2 and whether epsilon is 0: ``'hungarian'``,
            ``'closest_ground_truth'``, ``'closest_prediction'``,
            ``'ssd_two_stage'``, ``'softmax_over_ground_truths'``,
            ``'softmax_over_predictions'``, ``'dual_softmax'`` or
            ``'balanced'``. Defaults to None.
        tau1 (float | str, optional): Weight of the predictions' mass
            constraint, in [0, inf]; configs may write ``'inf'``. Defaults to
            100.
        tau2 (float | str, optional): Weight of the ground truths' mass
            constraint. Defaults to 0.01.
        epsilon (float, optional): Entropic regularisation. 0 asks for the
            exact matcher of the corner (tau1, tau2). Defaults to None, which
            leaves it to ``epsilon0``.
        epsilon0 (float, optional): Scale of the regularisation; see
            ``epsilon_rule``. Defaults to 0.12.
        epsilon_rule (str): ``'log_2n'``: epsilon0 / (log(2N) + 1), Sec. 4.1;
            ``'log_n'``: epsilon0 / (log(N) + 1), App. D; ``'support'``:
            epsilon0 / (log k + 1) with the support size k (Prop. 8) of the
            plan that ``'log_n'`` gives, at the price of a second solve.
            Defaults to ``'log_2n'``.
        num_iters (int): Iterations of the scaling algorithm, where one is
            used. Defaults to 20.
        cost_scaling (str): What the costs (background included) are divided
            by: ``'image_max'``, the greatest magnitude in the image;
            ``'none'``; or ``'batch_max'``, the greatest magnitude in the
            batch, as the authors' library does, by which a plan depends on
            the other images. Exact matchers need none. Defaults to
            ``'image_max'``.
        hard_view (str, optional): What :meth:`assign` returns of the plan:
            ``'best_ground_truth'`` per prediction, ``'best_prediction'`` per
            ground truth, or ``'one_to_one'``. Defaults to that of the
            preset, else to ``'best_ground_truth'``.
        ignore_iof_thr (float): Predictions of which more than this share
            lies in an ignored box take no part. 0 or less: none is ignored.
            Defaults to -1.
        ignore_wrt_candidates (bool): Whether the share is of the
            prediction's area rather than of the ignored box's. Defaults to
            True.
        bad_costs (str): What becomes of match costs that are NaN, infinite
            or beyond 1e15: ``'replace'`` makes them twice the greatest other
            one of the image, and leaves out ground truths with such boxes;
            ``'skip'`` gives the image no plan; both warn. ``'raise'`` raises
            a ValueError, for which a GPU waits at every call. A ground truth
            whose box has no area takes no part in any case. Defaults to
            ``'replace'``.
        memory_budget (int): Bytes that the matching may take. What needs
            more is solved some images at a time, see
            :meth:`MatchBatch.entry_bytes`; ``'batch_max'`` needs them all at
            once.
            Defaults to 2**29.

    Raises:
        TypeError: If an option is of another type.
        ValueError: If an option is out of its range, or a combination has no
            meaning.
    """

    def __init__(
        self,
        *,
        match_costs: Sequence[dict] | dict | None = None,
        background_cost: float
        | Sequence[float]
        | Sequence[tuple[float, int]] = 0.5,
        preset: str | None = None,
        tau1: float | str | None = None,
        tau2: float | str | None = None,
        epsilon: float | None = None,
        epsilon0: float | None = None,
        epsilon_rule: str = 'log_2n',
        num_iters: int = 20,
        cost_scaling: str = 'image_max',
        hard_view: str | None = None,
        ignore_iof_thr: float = -1.0,
        ignore_wrt_candidates: bool = True,
        bad_costs: str = 'replace',
        memory_budget: int = 2**29,
    ) -> None:
        self.matcher = Matcher(
            preset=preset,
            tau1=tau1,
            tau2=tau2,
            epsilon=epsilon,
            epsilon0=epsilon0,
            epsilon_rule=epsilon_rule,
            num_iters=num_iters,
        )
        self.problem_builder = ProblemBuilder(
            match_costs=match_costs,
            background_cost=background_cost,
            cost_scaling=cost_scaling,
            bad_costs=bad_costs,
            ignore_iof_thr=ignore_iof_thr,
            ignore_wrt_candidates=ignore_wrt_candidates,
        )
        if hard_view is None:
            hard_view = (
                PRESETS[preset].hard_view if preset else 'best_ground_truth'
            )
        check_choice('hard_view', hard_view, HARD_VIEWS)
        self.hard_view = hard_view
        if not isinstance(memory_budget, int) or memory_budget < 1:
            raise ValueError(
                'memory_budget must be a positive number of bytes, got '
                f'{memory_budget!r}'
            )
        self.memory_budget = memory_budget

    @property
    def match_costs(self) -> list[BaseMatchCost]:
        """The match costs that are added up."""
        return self.problem_builder.match_costs

    def match(
        self,
        batch_pred_instances: Sequence[InstanceData],
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict] | None = None,
        batch_gt_instances_ignore: Sequence[InstanceData | None] | None = None,
    ) -> TransportPlan:
        """Matches a batch of images (or of images and layers) in one solve.

        Args:
            batch_pred_instances (Sequence[InstanceData]): Per image, what
                the match costs need of ``bboxes`` or ``priors`` (N, 4),
                ``scores`` (N, C), ``masks``.
            batch_gt_instances (Sequence[InstanceData]): Per image,
                ``bboxes`` (m, 4), ``labels`` (m,), ``masks``.
            batch_img_metas (Sequence[dict], optional): Per image, for costs
                that need ``img_shape``. Defaults to None.
            batch_gt_instances_ignore (Sequence[InstanceData], optional): Per
                image, ``bboxes`` that are ignored; entries may be None.
                Defaults to None.

        Returns:
            TransportPlan: float32 weights (B, N, M + 1).

        Raises:
            TypeError: If a sequence does not hold InstanceData.
            ValueError: If the lengths do not fit, or a match cost lacks what
                it needs.
        """
        batch = InstanceBatch(
            batch_pred_instances, batch_gt_instances, batch_img_metas
        )
        ignore = batch_gt_instances_ignore
        if ignore is not None:
            check_instances(
                'batch_gt_instances_ignore',
                [entry for entry in ignore if entry is not None],
            )
            if len(ignore) != len(batch):
                raise ValueError(
                    'batch_gt_instances_ignore must have one entry per image '
                    f'({len(batch)}), got {len(ignore)}'
                )
        return self._match(batch, ignore)

    def match_layers(
        self,
        scores: Tensor,
        boxes: Tensor,
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict],
    ) -> TransportPlan:
        """Matches the layers of a decoder with a batch, in one solve.

        Args:
            scores (Tensor): (L, B, N, C) logits.
            boxes (Tensor): (L, B, N, 4) boxes, xyxy in pixels.
            batch_gt_instances (Sequence[InstanceData]): Per image.
            batch_img_metas (Sequence[dict]): Per image.

        Returns:
            TransportPlan: float32 weights (L * B, N, M + 1), layer by layer.

        Raises:
            TypeError: If a sequence does not hold InstanceData.
            ValueError: If the sizes do not fit, or a match cost lacks what
                it needs.
        """
        return self._match(
            TensorBatch(scores, boxes, batch_gt_instances, batch_img_metas)
        )

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        img_meta: dict | None = None,
        **kwargs,
    ) -> AssignResult:
        """Matches one image and returns a hard view of the plan.

        Args:
            pred_instances (InstanceData): See :meth:`match`.
            gt_instances (InstanceData): See :meth:`match`.
            gt_instances_ignore (InstanceData, optional): Ignored boxes.
            img_meta (dict, optional): For costs that need ``img_shape``.
            **kwargs: Not used; stock heads pass more.

        Returns:
            AssignResult: ``gt_inds`` (N,), 1-based, 0 for background, -1 for
            ignored; ``max_overlaps`` (N,), greatest IoU with a ground truth,
            -1 for ignored, None where predictions have no boxes; ``labels``
            (N,), -1 where there is none.
        """
        plan = self.match(
            [pred_instances],
            [gt_instances],
            [img_meta or {}],
            [gt_instances_ignore],
        )
        return to_assign_result(
            getattr(plan, self.hard_view)()[0],
            plan.pred_mass[0] == 0,
            pred_instances,
            gt_instances,
        )

    @torch.no_grad()
    def _match(
        self,
        batch: MatchBatch,
        batch_ignore: Sequence[InstanceData | None] | None = None,
    ) -> TransportPlan:
        batch_ignore = batch_ignore or batch.ignored
        budget = self.memory_budget
        if self.problem_builder.cost_scaling == 'batch_max':
            budget = sys.maxsize
        with full_precision(batch.device):
            plans = (
                self._match_part(part, batch_ignore[entries])
                for entries, part in batch.parts(budget, self.matcher.copies)
            )
            return concatenate(plans, batch.shape)

    def _match_part(
        self,
        batch: MatchBatch,
        batch_ignore: Sequence[InstanceData | None],
    ) -> TransportPlan:
        if max(batch.num_preds) == 0:
            return _no_predictions(batch)
        problem = self.problem_builder(batch, batch_ignore, self.matcher.exact)
        return self.matcher(problem, batch.num_preds, overwrite_cost=True)


def _no_predictions(batch: MatchBatch) -> TransportPlan:
    indices = torch.empty(
        (len(batch.num_preds), 0), dtype=torch.int64, device=batch.device
    )
    return TransportPlan.from_indices(indices, max(batch.num_gts))
