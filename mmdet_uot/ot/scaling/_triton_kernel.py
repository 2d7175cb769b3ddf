r"""The scaling algorithm as Triton kernels; only :mod:`.triton` needs them.

Everything is in units of the base-2 logarithm: ``log_u`` is log2 u, and
``log_kernel`` log2(N K). A number called ``drop`` is :math:`1 - \lambda =
\epsilon / (\tau + \epsilon)`, exactly 0 for a hard constraint and exactly
1 for none. What takes no part has the logarithm -inf.

Rows of the kernel are taken relative to the background, K_ij / K_i0: so
differences of costs are rounded, not costs, and u stands for u_i K_i0.
"""

# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ['find_rows', 'solve_images']

_LN_2 = tl.constexpr(0.6931471805599453)

# Below all logarithms that take part; finite, for differences.
_LOWEST = tl.constexpr(-1e30)

_GREATEST = tl.constexpr(3.4028234663852886e38)

# The share of a prediction's mass that may be left out, and its log2.
_NEGLIGIBLE = tl.constexpr(2.0**-21)
_LOG_NEGLIGIBLE = tl.constexpr(-21.0)

# log2 of how much greater than that of the background a scaling may be.
_ROOM = tl.constexpr(3.0)


# Sizes that change from batch to batch are not compiled for one by one.
@triton.jit(do_not_specialize=['num_rows', 'num_columns', 'cost_image'])
def find_rows(
    cost,  # (B, N, M + 1) float32, any strides
    pred_mass,  # (B, N) float32
    gt_mass,  # (B, M + 1) float32
    numbers,  # (3, B) float64: epsilon, drop of rows, drop of columns
    rows,  # (B, N) int32
    counts,  # (B,) int32
    reach,  # (B, M + 1) float64
    far_gain,  # (B,) float64
    num_rows,
    num_columns,
    cost_image,
    cost_row,
    cost_column,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    r"""Finds the predictions of image ``program_id`` that matter one by one.

    The kernel of all others is at most 2**``reach`` of that of the background.
    So they send mass to the background alone, together

    .. math::
        G v_\emptyset^{-\lambda_1}, \qquad
        G = \sum_i (N K_{i \emptyset})^{1 - \lambda_1}
        (N \alpha_i)^{\lambda_1}.

    Stores the indices of the former, their number, log2 G and ``reach``.
    """
    image = tl.program_id(0).to(tl.int64)
    images = tl.num_programs(0)
    exponent: tl.constexpr = tl.float64 if WIDE else tl.float32
    slope = (-1.0 / (tl.load(numbers + image) * _LN_2)).to(exponent)
    drop1 = tl.load(numbers + images + image).to(exponent)
    drop2 = tl.load(numbers + 2 * images + image).to(exponent)
    cost += image * cost_image
    pred_mass += image * num_rows
    rows += image * num_rows
    column = tl.arange(0, COLUMNS)
    beta = tl.load(
        gt_mass + image * num_columns + column,
        mask=column < num_columns - 1,
        other=0.0,
    )
    num_preds = _count(pred_mass, num_rows, ROWS)

    top = tl.full((COLUMNS,), _LOWEST, exponent)
    for start in range(0, num_rows, ROWS):
        row = start + tl.arange(0, ROWS)
        alpha = tl.load(pred_mass + row, mask=row < num_rows, other=0.0)
        near, _ = _kernel(
            cost, row, column, alpha, beta, slope, num_preds,
            num_columns, cost_row, cost_column,
        )  # fmt: skip
        top = tl.maximum(top, tl.max(near, 0))
    # All entries of a row or a column may add up to a negligible share. The
    # scaling of a ground truth that is far from all makes up for the distance
    # as far as its mass constraint lets it; its closest ones are kept.
    longest = tl.maximum(num_preds, num_columns)
    least = _LOG_NEGLIGIBLE - _ROOM - tl.log2(longest)
    least = tl.minimum(top - drop2 * top, 0.0) + least
    least = tl.minimum(least, top - 1.0).to(exponent)
    tl.store(
        reach + image * num_columns + column,
        least.to(tl.float64),
        mask=column < num_columns,
    )

    found = 0
    total = 0.0
    top_gain = tl.max(tl.full((COLUMNS,), _LOWEST, exponent), 0)
    for start in range(0, num_rows, ROWS):
        row = start + tl.arange(0, ROWS)
        alpha = tl.load(pred_mass + row, mask=row < num_rows, other=0.0)
        near, log_back = _kernel(
            cost, row, column, alpha, beta, slope, num_preds,
            num_columns, cost_row, cost_column,
        )  # fmt: skip
        matters = tl.max((near >= least[None, :]).to(tl.int32), 1)
        matters = tl.where(alpha > 0, matters, 0)
        place = found + tl.cumsum(matters, 0) - 1
        tl.store(rows + place, row, mask=matters > 0)
        found += tl.sum(matters, 0)

        is_far = (alpha > 0) & (matters == 0)
        gain = _damp_rows(_log_mass(alpha, num_preds), drop1, log_back, alpha)
        gain = tl.where(is_far, gain, _LOWEST)
        higher = tl.maximum(top_gain, tl.max(gain, 0))
        share = tl.exp2((gain - higher).to(tl.float32))
        total *= tl.exp2((top_gain - higher).to(tl.float32))
        total += tl.sum(tl.where(is_far, share, 0.0), 0)
        top_gain = higher
    tl.store(counts + image, found)
    log_gain = top_gain + tl.log2(tl.maximum(total, 1.0))
    tl.store(far_gain + image, log_gain.to(tl.float64))


# As above; no cost is read that is written before.
@triton.jit(
    do_not_specialize=[
        'num_rows',
        'num_columns',
        'num_iters',
        'cost_image',
        'weights_image',
    ]
)
def solve_images(
    cost,  # (B, N, M + 1) float32, any strides
    pred_mass,  # (B, N) float32
    gt_mass,  # (B, M + 1) float32
    numbers,  # (3, B) float64: epsilon, drop of rows, drop of columns
    rows,  # of find_rows, or None
    counts,
    reach,
    far_gain,
    weights,  # (B, N, M + 1) float32, strides of its own; may be the cost
    pred_potential,  # (B, N) float64
    gt_potential,  # (B, M + 1) float64
    marginal_error,  # (B,) float64
    num_rows,
    num_columns,
    num_iters,
    cost_image,
    cost_row,
    cost_column,
    weights_image,
    weights_row,
    weights_column,
    SPARSE: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Solves image ``program_id``, ROWS predictions at a time.

    If SPARSE, iterations visit the rows that were found, as long as what is
    left out is negligible in all sums; else they are done again with all rows.
    """
    image = tl.program_id(0).to(tl.int64)
    images = tl.num_programs(0)
    exponent: tl.constexpr = tl.float64 if WIDE else tl.float32
    epsilon = tl.load(numbers + image)
    unit = epsilon * _LN_2
    slope = (-1.0 / unit).to(exponent)
    drop1 = tl.load(numbers + images + image).to(exponent)
    drop2 = tl.load(numbers + 2 * images + image).to(exponent)

    cost += image * cost_image
    weights += image * weights_image
    pred_mass += image * num_rows
    pred_potential += image * num_rows
    gt_mass += image * num_columns
    gt_potential += image * num_columns

    num_preds = _count(pred_mass, num_rows, ROWS)
    column = tl.arange(0, COLUMNS)
    beta = tl.load(gt_mass + column, mask=column < num_columns, other=0.0)
    # Alg. 2, line 4: v = 1 / (n + 1).
    count = tl.maximum(tl.sum((beta > 0).to(tl.float32), 0), 1.0)
    start_v = tl.where(beta > 0, -tl.log2(count), float('-inf')).to(exponent)

    # A variable that a loop carries along with log_v, one iteration behind,
    # keeps its first value in what Triton 3.6 compiles.
    log_v_before = start_v
    log_v = start_v
    left_out = 0.0
    steps = num_iters
    if SPARSE:
        rows += image * num_rows
        reach += image * num_columns
        found = tl.load(counts + image)
        log_far = tl.load(far_gain + image).to(exponent)
        near = tl.load(reach + column, mask=column < num_columns, other=0.0)
        near = near.to(exponent)
        log_v_before, left_out = _iterate(
            start_v, num_iters - 1, left_out, rows, found, near, log_far,
            cost, pred_mass, column, beta, num_rows, num_columns, cost_row,
            cost_column, slope, num_preds, drop1, drop2,
            exponent, True, ROWS, COLUMNS,
        )  # fmt: skip
        log_v, left_out = _iterate(
            log_v_before, 1, left_out, rows, found, near, log_far,
            cost, pred_mass, column, beta, num_rows, num_columns, cost_row,
            cost_column, slope, num_preds, drop1, drop2,
            exponent, True, ROWS, COLUMNS,
        )  # fmt: skip
        # Written so that NaN is too much.
        is_enough = left_out <= _NEGLIGIBLE
        log_v_before = tl.where(is_enough, log_v_before, start_v)
        log_v = tl.where(is_enough, log_v, start_v)
        steps = tl.where(is_enough, 0, num_iters)
    log_v_before, _ = _iterate(
        log_v_before, steps - 1, 0.0, None, num_rows, None, None,
        cost, pred_mass, column, beta, num_rows, num_columns, cost_row,
        cost_column, slope, num_preds, drop1, drop2,
        exponent, False, ROWS, COLUMNS,
    )  # fmt: skip
    dense_v, _ = _iterate(
        log_v_before, tl.minimum(steps, 1), 0.0, None, num_rows, None, None,
        cost, pred_mass, column, beta, num_rows, num_columns, cost_row,
        cost_column, slope, num_preds, drop1, drop2,
        exponent, False, ROWS, COLUMNS,
    )  # fmt: skip
    log_v = tl.where(steps > 0, dense_v, log_v)

    tl.store(
        gt_potential + column,
        unit * log_v.to(tl.float64),
        mask=column < num_columns,
    )
    # Alg. 2, line 9: P = u K v, with the u of the last iteration once more.
    error = 0.0
    for start in range(0, num_rows, ROWS):
        row = start + tl.arange(0, ROWS)
        alpha = tl.load(pred_mass + row, mask=row < num_rows, other=0.0)
        log_kernel, log_back = _kernel(
            cost, row, column, alpha, beta, slope, num_preds,
            num_columns, cost_row, cost_column,
        )  # fmt: skip
        log_alpha = _log_mass(alpha, num_preds)
        ratio = log_alpha - _log_sum_of_rows(
            log_kernel + log_v_before[None, :]
        )
        log_u = _damp_rows(ratio, drop1, log_back, alpha)
        log_plan = log_kernel + log_u[:, None] + log_v[None, :]
        plan = tl.minimum(tl.exp2(log_plan.to(tl.float32)), _GREATEST)
        tl.store(
            weights
            + row.to(tl.int64)[:, None] * weights_row
            + column[None, :] * weights_column,
            plan,
            mask=(row < num_rows)[:, None] & (column < num_columns)[None, :],
        )
        tl.store(
            pred_potential + row,
            unit * (log_u.to(tl.float64) - log_back.to(tl.float64)),
            mask=row < num_rows,
        )
        # N alpha exp(-f / tau1), what this u asks for.
        asked = log_alpha - drop1 * (ratio - log_back)
        asked = tl.exp2(asked.to(tl.float32))
        missing = tl.abs(
            tl.minimum(asked, _GREATEST)
            - tl.minimum(tl.sum(plan, 1), _GREATEST)
        )
        error += tl.sum(tl.where(alpha > 0, missing / num_preds, 0.0), 0)
    # Without a constraint no mass is asked for.
    error = tl.where(drop1 < 1.0, tl.minimum(error, _GREATEST), 0.0)
    tl.store(marginal_error + image, error.to(tl.float64))


@triton.jit
def _iterate(
    log_v,
    steps,
    left_out,
    rows,
    count,
    reach,
    log_far,
    cost,
    pred_mass,
    column,
    beta,
    num_rows,
    num_columns,
    cost_row,
    cost_column,
    slope,
    num_preds,
    drop1,
    drop2,
    exponent: tl.constexpr,
    SPARSE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """(COLUMNS,) log_v after some iterations, and what is left out at most.

    An iteration reads the cost once: a block of rows updates its u (Alg. 2,
    line 6) and adds what it sends to the columns' sums (line 7), kept beside
    their running maximum. Exponents are float64 if WIDE; what remains of
    them after the maximum, and the sums, are float32. What is left out are
    shares of the rows' sums, and masses of columns.
    """
    is_background = column == num_columns - 1
    for _ in range(steps):
        top = tl.full((COLUMNS,), _LOWEST, exponent)
        total = tl.zeros((COLUMNS,), tl.float32)
        for start in range(0, count, ROWS):
            row = start + tl.arange(0, ROWS)
            if SPARSE:
                row = tl.load(rows + row, mask=row < count, other=num_rows)
            alpha = tl.load(pred_mass + row, mask=row < num_rows, other=0.0)
            log_kernel, log_back = _kernel(
                cost, row, column, alpha, beta, slope, num_preds,
                num_columns, cost_row, cost_column,
            )  # fmt: skip
            ratio = _log_mass(alpha, num_preds) - _log_sum_of_rows(
                log_kernel + log_v[None, :]
            )
            log_u = _damp_rows(ratio, drop1, log_back, alpha)
            sent = log_kernel + log_u[:, None]
            higher = tl.maximum(top, tl.max(sent, 0))
            total *= tl.exp2((top - higher).to(tl.float32))
            share = tl.exp2((sent - higher[None, :]).to(tl.float32))
            total += tl.sum(share, 0)
            top = higher
        if SPARSE:
            background = tl.sum(tl.where(is_background, log_v, 0.0), 0)
            far = log_far - (background - drop1 * background)
            sent = tl.where(is_background, far, _LOWEST)
            higher = tl.maximum(top, sent)
            total *= tl.exp2((top - higher).to(tl.float32))
            total += tl.exp2((sent - higher).to(tl.float32))
            top = higher
        log_sum = top + tl.log2(tl.maximum(total, 1.0))
        if SPARSE:
            of_row = reach + log_v - background
        log_v = _damp(_log_mass(beta, num_preds) - log_sum, drop2, beta)
        if SPARSE:
            of_column = reach + log_v + far
            is_gt = (beta > 0) & (column < num_columns - 1)
            of_row = tl.where(is_gt, tl.exp2(of_row.to(tl.float32)), 0.0)
            of_column = tl.where(is_gt, tl.exp2(of_column.to(tl.float32)), 0.0)
            now = tl.sum(of_row, 0) + tl.max(of_column, 0)
            # The greater one, NaN once it is NaN.
            keeps = (now <= left_out) | (left_out != left_out)
            left_out = tl.where(keeps, left_out, now)
    return log_v, left_out


@triton.jit
def _count(pred_mass, num_rows, ROWS: tl.constexpr):
    """The number of predictions with mass, at least 1."""
    count = 0.0
    for start in range(0, num_rows, ROWS):
        row = start + tl.arange(0, ROWS)
        alpha = tl.load(pred_mass + row, mask=row < num_rows, other=0.0)
        count += tl.sum((alpha > 0).to(tl.float32), 0)
    return tl.maximum(count, 1.0)


@triton.jit
def _kernel(
    cost,
    row,
    column,
    alpha,
    beta,
    slope,
    num_preds,
    num_columns,
    cost_row,
    cost_column,
):
    """(ROWS, COLUMNS) log2 of the kernel over that of the background.

    Also (ROWS,) the latter, log2(N K_i0). The padding is not read.
    """
    row_cost = cost + row.to(tl.int64) * cost_row
    background = tl.load(
        row_cost + (num_columns - 1) * cost_column, mask=alpha > 0, other=0.0
    ).to(slope.dtype)
    takes_part = (alpha > 0)[:, None] & (beta > 0)[None, :]
    costs = tl.load(
        row_cost[:, None] + column[None, :] * cost_column,
        mask=takes_part,
        other=float('inf'),
    ).to(slope.dtype)
    log_kernel = slope * (costs - background[:, None])
    return log_kernel, tl.log2(num_preds) + slope * background


@triton.jit
def _log_mass(mass, num_preds):
    """log2(N mass); 0 in the padding."""
    return tl.log2(tl.where(mass > 0, mass * num_preds, 1.0))


@triton.jit
def _log_sum_of_rows(exponents):
    """(ROWS,) log2 of the row sums of 2**exponents."""
    top = tl.maximum(tl.max(exponents, 1), _LOWEST)
    share = tl.exp2((exponents - top[:, None]).to(tl.float32))
    return top + tl.log2(tl.maximum(tl.sum(share, 1), 1.0))


@triton.jit
def _damp_rows(ratio, drop, log_back, mass):
    """log2(u_i K_i0) from log2(alpha_i / sum_i) + log2 K_i0."""
    return tl.where(mass > 0, ratio - drop * (ratio - log_back), float('-inf'))


@triton.jit
def _damp(ratio, drop, mass):
    """Logarithm of (mass / sum)**lambda from that of mass / sum."""
    return tl.where(mass > 0, ratio - drop * ratio, float('-inf'))
