/* The steps of the scaling algorithm on one image, written so that they
   vectorise; see scaling.c for the mathematics. */

#ifndef MMDET_UOT_SCALING_LOOPS_H
#define MMDET_UOT_SCALING_LOOPS_H

#include "elementary.h"
#include "elementary_double.h"
#include "lanes.h"
#include "masses.h"
#include "parallel.h"
#include "relaxation.h"

#include <float.h>

enum {
    TILE = 4 * LANES,
    /* Tiles whose sums are added up in float. */
    TILES_AT_ONCE = 64
};

/* Logarithm of the least entry of the kernel. */
static const float FLOOR = -80.0f;

/* That of the greatest float. */
static const float HIGHEST = 88.0f;

/* The floor's greatest share in a sum is exp(FLOOR) divided by this, 1e-7. */
static const float LEAST_SHARE = 1.6e-28f;

/* The greatest magnitude of a logarithm that a factor can carry. */
static const double MOST = 80.0;
static const float MOST_FACTOR = 5.5e34f;

/* Iterations that would move less than this in all are left out. */
static const double NO_MOVE = 1e-6;

/* Renewing the references helps if the scalings moved less than this; so often
   it is tried without success. */
static const double WORTH_RENEWING = 16.0;
enum { MOST_IN_VAIN = 3 };

static const double IN_DOUBT = -1.0;

static const double NOTHING = -1e300;
static const float LEAST_NORMAL = 1.17549435e-38f;
/* Beside this the number above is negligible. */
static const float LEAST_SUM = 1e-30f;

/* One side's mass and its scaling, exp(reference) * factor. */
typedef struct {
    int64_t size;
    double power; /* tau / (tau + epsilon) */
    float power_high, power_low;
    float *mass, *gain, *factor;
    float *before, *sum; /* scratch */
    double *reference, *log_mass;
    double *log_x; /* log of the scaling, kept for columns */
    double *last;  /* log_x of the last line 7, of relaxed iterations */
    /* Of a range of masses, else NULL; and what factors are between. */
    double *log_least, *log_most;
    float *least_gain, *one, *most_gain;
} side;

typedef struct {
    int64_t num_preds, num_tiles;
    const float **cost; /* of each column with mass */
    float *kernel;      /* (tiles, columns, TILE) */
    vector *column_sum;
    double slope, log_n; /* log(N K) = log_n + slope * cost */
    double moved;        /* mass that the last line 7 moved */
    side pred, gt;
    double *top, *sum; /* scratch, per prediction or column */
} image;

static inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- loops over predictions ---------------------------------------------- */

/* max_j log(N K_ij) + shift_j. */
VECTORIZED static void row_tops(
    const image *im, const double *shift, double *restrict top
)
{
    double slope = im->slope;
    for (int64_t i = 0; i < im->num_preds; i++)
        top[i] = NOTHING;
    for (int64_t j = 0; j < im->gt.size; j++) {
        const float *restrict cost = im->cost[j];
        double constant = im->log_n + shift[j];
        for (int64_t i = 0; i < im->num_preds; i++) {
            double x = constant + slope * cost[i];
            top[i] = x > top[i] ? x : top[i];
        }
    }
}

/* log sum_j N K_ij exp(shift_j). */
VECTORIZED static void row_log_sums(
    image *im, const double *shift, double *restrict log_sum
)
{
    double *restrict top = im->top;
    int64_t N = im->num_preds;
    double slope = im->slope;
    row_tops(im, shift, top);
    for (int64_t i = 0; i < N; i++)
        log_sum[i] = 0.0;
    for (int64_t j = 0; j < im->gt.size; j++) {
        const float *restrict cost = im->cost[j];
        double constant = im->log_n + shift[j];
        for (int64_t i = 0; i < N; i++) {
            float x = (float)(constant + slope * cost[i] - top[i]);
            log_sum[i] += exp_float(x > FLOOR ? x : FLOOR);
        }
    }
    for (int64_t i = 0; i < N; i++)
        log_sum[i] = log_float((float)log_sum[i]) + top[i];
}

/* max_i log(N K_ij) + shift_i. */
VECTORIZED static double column_top(
    const image *im, int64_t j, const double *restrict shift
)
{
    const float *restrict cost = im->cost[j];
    double slope = im->slope, top[LANES];
    int64_t i = 0;
    for (int64_t lane = 0; lane < LANES; lane++)
        top[lane] = NOTHING;
    for (; i + LANES <= im->num_preds; i += LANES)
        for (int64_t lane = 0; lane < LANES; lane++) {
            double x = shift[i + lane] + slope * cost[i + lane];
            top[lane] = x > top[lane] ? x : top[lane];
        }
    for (; i < im->num_preds; i++) {
        double x = shift[i] + slope * cost[i];
        top[0] = x > top[0] ? x : top[0];
    }
    for (int64_t lane = 1; lane < LANES; lane++)
        top[0] = top[lane] > top[0] ? top[lane] : top[0];
    return top[0] + im->log_n;
}

/* log sum_i N K_ij exp(shift_i). */
VECTORIZED static double column_log_sum(
    const image *im, int64_t j, const double *restrict shift
)
{
    const float *restrict cost = im->cost[j];
    double top = column_top(im, j, shift), slope = im->slope, total = 0.0;
    double constant = im->log_n - top;
    for (int64_t start = 0; start < im->num_preds; start += TILE) {
        int64_t stop = least(start + TILE, im->num_preds);
        float terms[TILE];
        for (int64_t i = start; i < stop; i++) {
            float x = (float)(constant + shift[i] + slope * cost[i]);
            terms[i - start] = exp_float(x > FLOOR ? x : FLOOR);
        }
        for (int64_t i = 0; i < stop - start; i++)
            total += terms[i];
    }
    return log(total) + top;
}

/* The kernel that the references are absorbed in, zero beyond the last
   prediction and for excluded pairs. */
VECTORIZED static void fill_kernel(const image *im)
{
    double slope = im->slope;
    float *restrict kernel = im->kernel;
    for (int64_t tile = 0; tile < im->num_tiles; tile++) {
        int64_t start = tile * TILE;
        int64_t length = least(TILE, im->num_preds - start);
        const double *restrict log_u = im->pred.reference + start;
        for (int64_t j = 0; j < im->gt.size; j++, kernel += TILE) {
            const float *restrict cost = im->cost[j] + start;
            double constant = im->log_n + im->gt.reference[j];
            for (int64_t i = 0; i < length; i++) {
                float x = (float)(constant + log_u[i] + slope * cost[i]);
                float k = exp_float(x > FLOOR ? x : FLOOR);
                k = x > HIGHEST ? INFINITY : k;
                /* An infinite cost excludes the pair. */
                kernel[i] = x >= -FLT_MAX ? k : 0.0f;
            }
            for (int64_t i = length; i < TILE; i++)
                kernel[i] = 0.0f;
        }
    }
}

/* Costs of a tile, or a copy that infinity is appended to. */
static inline const lanes *whole_tile(
    const float *cost, int64_t length, float *copy
)
{
    if (length == TILE)
        return (const lanes *)cost;
    for (int64_t i = 0; i < TILE; i++)
        copy[i] = i < length ? cost[i] : INFINITY;
    return (const lanes *)copy;
}

/* The least cost of each prediction, -infinity of those without mass, and how
   much more than it the pairs of each column cost at least. */
VECTORIZED static void find_least(
    const image *im, float *restrict least_cost, float *restrict nearest
)
{
    vector *near = im->column_sum;
    for (int64_t j = 0; j < im->gt.size; j++)
        near[j] = (vector){0} + INFINITY;
    for (int64_t start = 0; start < im->num_preds; start += TILE) {
        int64_t length = least(TILE, im->num_preds - start);
        float low[TILE], copy[TILE];
        lanes l0 = (lanes){0} + INFINITY, l1 = l0, l2 = l0, l3 = l0;
        for (int64_t j = 0; j < im->gt.size; j++) {
            const lanes *c = whole_tile(im->cost[j] + start, length, copy);
            l0 = LOWER(c[0], l0);
            l1 = LOWER(c[1], l1);
            l2 = LOWER(c[2], l2);
            l3 = LOWER(c[3], l3);
        }
        memcpy(low, &l0, sizeof l0);
        memcpy(low + LANES, &l1, sizeof l1);
        memcpy(low + 2 * LANES, &l2, sizeof l2);
        memcpy(low + 3 * LANES, &l3, sizeof l3);
        for (int64_t i = 0; i < TILE; i++)
            low[i] = im->pred.mass[start + i] > 0.0f ? low[i] : -INFINITY;
        memcpy(least_cost + start, low, sizeof(float) * length);
        const lanes *l = (const lanes *)low;
        for (int64_t j = 0; j < im->gt.size; j++) {
            const lanes *c = whole_tile(im->cost[j] + start, length, copy);
            lanes a = LOWER(c[0] - l[0], c[1] - l[1]);
            lanes b = LOWER(c[2] - l[2], c[3] - l[3]);
            a = LOWER(a, b);
            near[j] = LOWER(a, near[j]);
        }
    }
    for (int64_t j = 0; j < im->gt.size; j++) {
        nearest[j] = INFINITY;
        for (int64_t lane = 0; lane < LANES; lane++)
            nearest[j] = near[j][lane] < nearest[j] ? near[j][lane]
                                                    : nearest[j];
    }
}

/* The kernel exp((least + nearest - cost) / epsilon), zero beyond the last
   prediction, for those without mass and for excluded pairs. Tells whether floats
   can carry all differences. */
VECTORIZED static int fill_first_kernel(
    const image *im, const float *restrict least_cost,
    const float *restrict nearest
)
{
    float high = (float)im->slope, low = (float)(im->slope - high);
    int32_t beyond = 0;
    float *restrict kernel = im->kernel;
    for (int64_t start = 0; start < im->num_preds; start += TILE) {
        int64_t length = least(TILE, im->num_preds - start);
        float from[TILE] = {0}, copy[TILE];
        memcpy(from, least_cost + start, sizeof(float) * length);
        for (int64_t j = 0; j < im->gt.size; j++, kernel += TILE) {
            const float *restrict cost = (const float *)whole_tile(
                im->cost[j] + start, length, copy
            );
            for (int64_t i = 0; i < TILE; i++) {
                float c = cost[i], d = c - from[i], back = d - c;
                /* What the difference lost to rounding. */
                float lost = (c - (d - back)) - (from[i] + back);
                float more = (d - nearest[j]) + lost;
                float x = high * more + low * more;
                float k = exp_float(x > FLOOR ? x : FLOOR);
                kernel[i] = more < INFINITY ? k : 0.0f;
                beyond |= (c < INFINITY) & (from[i] > -INFINITY)
                          & !(d < INFINITY);
            }
        }
    }
    return !beyond;
}

/* x = (mass / sum)^power. */
static inline void update(
    const side *s, int64_t start, int64_t length, const float *restrict sum
)
{
    const float *restrict gain = s->gain + start;
    float *restrict factor = s->factor + start;
    float high = s->power_high, low = s->power_low;
    if (s->power == 1.0)
        for (int64_t i = 0; i < length; i++)
            factor[i] = gain[i] / sum[i];
    else
        for (int64_t i = 0; i < length; i++)
            factor[i] = gain[i] * inverse_power(sum[i], high, low);
}

/* x = min(max(1, (least / sum)^power), (most / sum)^power). */
static inline void update_in_range(const side *s, const float *sum)
{
    for (int64_t j = 0; j < s->size; j++) {
        float x = s->power == 1.0
                      ? 1.0f / sum[j]
                      : inverse_power(sum[j], s->power_high, s->power_low);
        s->factor[j] = fminf(fmaxf(s->one[j], s->least_gain[j] * x),
                             s->most_gain[j] * x);
    }
}

/* log x = reference + log factor. */
VECTORIZED static void log_scaling(const side *s, double *restrict log_x)
{
    for (int64_t i = 0; i < s->size; i++)
        log_x[i] = s->reference[i] + log_float(s->factor[i]);
}

/* Updates u, then v, on the kernel: lines 6 and 7, in one read of it; log v stays
   as it was. Returns how far v has moved at most, relative to itself; IN_DOUBT,
   and v is as before, if the floor may be in a sum. */
VECTORIZED static double kernel_iteration(image *im)
{
    int64_t M = im->gt.size;
    vector *column_sum = im->column_sum, all_u = (vector){0};
    const float *kernel = im->kernel;
    float *v = im->gt.factor, *before = im->gt.before, *sum = im->gt.sum;
    float low = 1.0f, high = 1.0f, all_v = 0.0f, least_sum[TILE];
    double *total = im->sum, sum_of_u;
    int in_doubt = 0;
    for (int64_t i = 0; i < TILE; i++)
        least_sum[i] = INFINITY;
    for (int64_t j = 0; j < M; j++) {
        total[j] = 0.0;
        column_sum[j] = (vector){0};
        before[j] = v[j];
        all_v += v[j];
    }
    for (int64_t tile = 0; tile < im->num_tiles; tile++) {
        const vector *k = (const vector *)kernel;
        vector s0 = (vector){0} + LEAST_NORMAL, s1 = s0, s2 = s0, s3 = s0;
        float row_sum[TILE];
        for (int64_t j = 0; j < M; j++, k += 4) {
            s0 += v[j] * k[0];
            s1 += v[j] * k[1];
            s2 += v[j] * k[2];
            s3 += v[j] * k[3];
        }
        memcpy(row_sum, &s0, sizeof s0);
        memcpy(row_sum + LANES, &s1, sizeof s1);
        memcpy(row_sum + 2 * LANES, &s2, sizeof s2);
        memcpy(row_sum + 3 * LANES, &s3, sizeof s3);
        update(&im->pred, tile * TILE, TILE, row_sum);
        for (int64_t i = 0; i < TILE; i++) {
            float live = im->pred.mass[tile * TILE + i] > 0.0f ? row_sum[i]
                                                                : INFINITY;
            least_sum[i] = live < least_sum[i] ? live : least_sum[i];
        }

        const vector *u = (const vector *)(im->pred.factor + tile * TILE);
        vector u0 = u[0], u1 = u[1], u2 = u[2], u3 = u[3];
        all_u += (u0 + u1) + (u2 + u3);
        k = (const vector *)kernel;
        for (int64_t j = 0; j < M; j++, k += 4)
            column_sum[j] += (u0 * k[0] + u1 * k[1])
                             + (u2 * k[2] + u3 * k[3]);
        kernel += M * TILE;
        if ((tile + 1) % TILES_AT_ONCE == 0 || tile + 1 == im->num_tiles)
            for (int64_t j = 0; j < M; j++) {
                total[j] += sum_of_lanes(&column_sum[j]);
                column_sum[j] = (vector){0};
            }
    }
    sum_of_u = sum_of_lanes(&all_u);
    in_doubt |= !(sum_of_u <= MOST_FACTOR);
    for (int64_t i = 0; i < TILE; i++)
        in_doubt |= !(least_sum[i] >= fmaxf(LEAST_SHARE * all_v, LEAST_SUM));
    for (int64_t j = 0; j < M; j++) {
        in_doubt |= !(total[j] >= fmax(LEAST_SHARE * sum_of_u, LEAST_SUM)
                      && total[j] <= MOST_FACTOR);
        sum[j] = (float)total[j];
    }
    if (in_doubt)
        return IN_DOUBT;
    if (im->gt.log_least)
        update_in_range(&im->gt, sum);
    else
        update(&im->gt, 0, M, sum);
    im->moved = 0.0;
    for (int64_t j = 0; j < M; j++) {
        im->moved += total[j] * fabs(v[j] - before[j]);
        float ratio = v[j] / before[j];
        low = ratio < low ? ratio : low;
        high = ratio > high ? ratio : high;
        in_doubt |= !(v[j] >= 1.0f / MOST_FACTOR && v[j] <= MOST_FACTOR);
    }
    if (in_doubt) {
        memcpy(v, before, sizeof(float) * M);
        return IN_DOUBT;
    }
    return fmaxf(high - 1.0f, 1.0f / low - 1.0f);
}

/* Moves v further than line 7 did, and brings log v up to date; tells whether the
   kernel still serves. Returns how far log v goes on. */
VECTORIZED static double move_on(
    side *gt, int64_t done, double relaxation, int *on_kernel
)
{
    double *restrict log_v = gt->log_x, most = 0.0;
    const double *restrict reference = gt->reference;
    float *restrict factor = gt->factor;
    for (int64_t j = 0; *on_kernel && j < gt->size; j++)
        log_v[j] = reference[j] + log_double(factor[j]);
    double furthest = extrapolate(
        log_v, gt->last, gt->size, done, relaxation
    );
    for (int64_t j = 0; *on_kernel && j < gt->size; j++) {
        double x = log_v[j] - reference[j];
        most = fabs(x) > most ? fabs(x) : most;
        factor[j] = (float)exp_double(x < MOST ? x : MOST);
    }
    *on_kernel = *on_kernel && most < MOST;
    return furthest;
}

/* P = u K v, and what each prediction sends. */
VECTORIZED static void weigh(
    const image *im, float **weights, float *restrict sent
)
{
    const float *kernel = im->kernel;
    for (int64_t tile = 0; tile < im->num_tiles; tile++) {
        int64_t start = tile * TILE;
        int64_t length = least(TILE, im->num_preds - start);
        const float *restrict u = im->pred.factor + start;
        float row_sum[TILE] = {0};
        for (int64_t j = 0; j < im->gt.size; j++, kernel += TILE) {
            float *restrict weight = weights[j] + start;
            float v = im->gt.factor[j];
            for (int64_t i = 0; i < length; i++) {
                float x = kernel[i] * u[i] * v;
                weight[i] = x < FLT_MAX ? x : FLT_MAX;
                row_sum[i] += weight[i];
            }
        }
        memcpy(sent + start, row_sum, sizeof row_sum);
    }
}

/* ---- one side ------------------------------------------------------------ */

/* exp(x), 0 or infinite beyond what an iteration on the kernel can use. */
static inline float bounded_exp(double x)
{
    return x < -MOST ? 0.0f : x > MOST ? INFINITY : exp_float((float)x);
}

/* What a range of masses bounds the factors by. */
static void refer_range_to(side *s, const double *reference)
{
    for (int64_t j = 0; j < s->size; j++) {
        double rest = (1.0 - s->power) * reference[j];
        s->least_gain[j] = bounded_exp(s->power * s->log_least[j] - rest);
        s->most_gain[j] = bounded_exp(s->power * s->log_most[j] - rest);
        s->one[j] = bounded_exp(-reference[j]);
    }
}

/* Sets the reference; the factors become 1. Returns whether a float can carry
   the gains, mass^power exp((power - 1) reference). */
VECTORIZED static int refer_to(side *s, const double *reference)
{
    double power = s->power;
    int too_far = 0;
    for (int64_t i = 0; i < s->size; i++) {
        int live = s->mass[i] > 0.0f;
        double x = power * s->log_mass[i] - (1.0 - power) * reference[i];
        float bounded = (float)(x < 88.0 ? x : 88.0);
        float gain = exp_float(bounded > -87.0f ? bounded : -87.0f);
        gain = power == 1.0 ? s->mass[i] : gain;
        s->reference[i] = live ? reference[i] : NOTHING;
        s->factor[i] = live ? 1.0f : 0.0f;
        s->gain[i] = live ? gain : 0.0f;
        too_far |= live && fabs(x) > MOST;
    }
    if (s->log_least)
        refer_range_to(s, reference);
    return !too_far;
}

static void set_tau(side *s, double tau, double epsilon)
{
    double few_bits = 4096.0;
    s->power = isinf(tau) ? 1.0 : tau / (tau + epsilon);
    s->power_high = (float)(rint(s->power * few_bits) / few_bits);
    s->power_low = (float)(s->power - s->power_high);
}

/* Sets a mass, times the number of predictions, and its logarithm. */
static void set_mass(side *s, int64_t index, double mass)
{
    s->mass[index] = (float)mass;
    /* Masses are mostly equal. */
    s->log_mass[index] = index && s->mass[index] == s->mass[index - 1]
                             ? s->log_mass[index - 1]
                             : log(s->mass[index]);
}

#endif
