r"""The scaling algorithm as one Triton kernel; only :mod:`.triton` needs it.

Everything is in units of the base-2 logarithm: ``log_u`` is log2 u, and
``log_kernel`` log2(N K). A number called ``drop`` is :math:`1 - \lambda =
\epsilon / (\tau + \epsilon)`, exactly 0 for a hard constraint and exactly
1 for none. What takes no part has the logarithm -inf.
"""

# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ['solve_images']

_LN_2 = tl.constexpr(0.6931471805599453)

# Below all logarithms that take part; finite, for differences.
_LOWEST = tl.constexpr(-1e30)

_GREATEST = tl.constexpr(3.4028234663852886e38)


# Sizes that change from batch to batch are not compiled for one by one.
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
    weights,  # (B, N, M + 1) float32, strides of its own
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
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Solves image ``program_id``, ROWS predictions at a time.

    An iteration reads the cost once: a block of rows updates its u (Alg. 2,
    line 6) and adds what it sends to the columns' sums (line 7), kept beside
    their running maximum. Exponents are float64 if WIDE; what remains of
    them after the maximum, and the sums, are float32.
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

    num_preds = 0.0
    for start in range(0, num_rows, ROWS):
        row = start + tl.arange(0, ROWS)
        alpha = tl.load(pred_mass + row, mask=row < num_rows, other=0.0)
        num_preds += tl.sum((alpha > 0).to(tl.float32), 0)
    num_preds = tl.maximum(num_preds, 1.0)
    shift = tl.log2(num_preds)

    column = tl.arange(0, COLUMNS)
    beta = tl.load(gt_mass + column, mask=column < num_columns, other=0.0)
    # Alg. 2, line 4: v = 1 / (n + 1).
    count = tl.maximum(tl.sum((beta > 0).to(tl.float32), 0), 1.0)
    log_v = tl.where(beta > 0, -tl.log2(count), float('-inf')).to(exponent)

    for _ in range(num_iters - 1):
        log_v = _iterate(
            log_v,
            cost,
            pred_mass,
            column,
            beta,
            num_rows,
            cost_row,
            cost_column,
            slope,
            num_preds,
            drop1,
            drop2,
            exponent,
            ROWS,
            COLUMNS,
        )
    # A variable that the loop carries along with log_v, one iteration behind,
    # keeps its first value in what Triton 3.6 compiles.
    log_v_before = log_v
    log_v = _iterate(
        log_v,
        cost,
        pred_mass,
        column,
        beta,
        num_rows,
        cost_row,
        cost_column,
        slope,
        num_preds,
        drop1,
        drop2,
        exponent,
        ROWS,
        COLUMNS,
    )

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
        log_kernel = shift + slope * _costs(
            cost, row, column, alpha, beta, cost_row, cost_column
        )
        log_alpha = _log_mass(alpha, num_preds)
        ratio = log_alpha - _log_sum_of_rows(
            log_kernel + log_v_before[None, :]
        )
        log_u = _damp(ratio, drop1, alpha)
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
            unit * log_u.to(tl.float64),
            mask=row < num_rows,
        )
        # N alpha exp(-f / tau1), what this u asks for.
        asked = tl.exp2((log_alpha - drop1 * ratio).to(tl.float32))
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
    cost,
    pred_mass,
    column,
    beta,
    num_rows,
    cost_row,
    cost_column,
    slope,
    num_preds,
    drop1,
    drop2,
    exponent: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """(COLUMNS,) log_v after an update of u, then of v (Alg. 2)."""
    shift = tl.log2(num_preds)
    top = tl.full((COLUMNS,), _LOWEST, exponent)
    total = tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, num_rows, ROWS):
        row = start + tl.arange(0, ROWS)
        alpha = tl.load(pred_mass + row, mask=row < num_rows, other=0.0)
        log_kernel = shift + slope * _costs(
            cost, row, column, alpha, beta, cost_row, cost_column
        )
        ratio = _log_mass(alpha, num_preds) - _log_sum_of_rows(
            log_kernel + log_v[None, :]
        )
        log_u = _damp(ratio, drop1, alpha)
        sent = log_kernel + log_u[:, None]
        higher = tl.maximum(top, tl.max(sent, 0))
        total *= tl.exp2((top - higher).to(tl.float32))
        share = tl.exp2((sent - higher[None, :]).to(tl.float32))
        total += tl.sum(share, 0)
        top = higher
    log_sum = top + tl.log2(tl.maximum(total, 1.0))
    return _damp(_log_mass(beta, num_preds) - log_sum, drop2, beta)


@triton.jit
def _costs(cost, row, column, alpha, beta, cost_row, cost_column):
    """(ROWS, COLUMNS) costs; 0 in the padding, which is not read."""
    return tl.load(
        cost
        + row.to(tl.int64)[:, None] * cost_row
        + column[None, :] * cost_column,
        mask=(alpha > 0)[:, None] & (beta > 0)[None, :],
        other=0.0,
    )


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
def _damp(ratio, drop, mass):
    """Logarithm of (mass / sum)**lambda from that of mass / sum."""
    return tl.where(mass > 0, ratio - drop * ratio, float('-inf'))
