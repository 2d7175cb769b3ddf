/* Algorithm 2 of the paper on the pairs that can carry mass.

   A row of the kernel is divided by its entry of the background,

       k_ij = exp(-d_ij / epsilon),   d_ij = C_ij - C_i,background,
       w_i = u_i K_i,background,

   so that a prediction without pairs differs from another in its gain alone:

       w_i = gain_i (v_background + sum_j k_ij v_j)^-lambda_1,
       gain_i = alpha_i^lambda_1 K_i,background^(1 - lambda_1).

   Of all these together only the sum of the gains matters. That is so, too, of
   faint rows, whose pairs k_ij v_j are all negligible beside v_background: their
   columns get the sum of k_ij gain_i. A pair is kept if d_ij is below a threshold
   of its column. What the others could have carried is bounded, in every
   iteration, by

       exp(-threshold_j / epsilon) v_j max(sum_i w_i, 1 / v_background),

   the mass that column j gets from them, or relative to a row's sum. Where that
   may show, the threshold is raised and the image is solved again, or left to
   another solver. Numbers are doubles, which need no absorption; an image that
   leaves their range is left to another solver as well.

   Masses and kernel are multiplied by the number of predictions N, so that plans
   read as weights. */

#include "found_pairs.h"
#include "lanes.h"
#include "sparse_boxes.h"
#include "sparse_loops.h"

#include <float.h>
#include <stdlib.h>

enum { MOST_TRIES = 4, BRIGHT = 1 << 30 };

/* What became of an image: solved, to be solved with other thresholds, or for
   another solver. */
typedef enum { SOLVED, AGAIN, UNSUITED } outcome;

/* Mass of all dropped pairs, and the greatest share of them in a row's sum. */
static const double NEGLIGIBLE = 5e-7;
/* The greatest share of all faint pairs in a row's sum. */
static const double FAINT = 1e-6;
/* -log FAINT, and room for v_j to be greater than v_background; of M pairs each
   has an M-th. */
static const double FAINT_REACH = 16.0;
/* Iterations that would move log v less than this in all are left out. */
static const double NO_MOVE = 5e-7;

typedef struct {
    const float *background_cost; /* (images, predictions) */
    int64_t background_image_stride;
    const float *cost; /* (images, ground truths, predictions), or NULL */
    int64_t cost_image_stride, cost_column_stride;
    blocked_boxes boxes; /* else of the predictions, for costs 1 - IoU */
    const float *gt_boxes;    /* (images, ground truths, 4) */
    const uint64_t *allowed;  /* (images, ground truths, blocks) bits of pairs,
                                 or NULL for all */
    const int64_t *num_candidates; /* (images, ground truths) of them */
    const float *pred_mass;   /* (images, predictions) */
    const float *gt_mass;     /* (images, columns) */
    const float *gt_range;    /* (2, images, columns) least, most; or NULL */
    const double *epsilon;    /* (images,) */
    double tau1, tau2, relaxation, tol;
    double least_mass; /* pairs of less weight are not returned */
    double most_pairs; /* share of the entries */
    int64_t num_iters, num_images, num_preds, num_columns;
    float *background;      /* (images, predictions) */
    double *pred_potential; /* (images, predictions) */
    double *gt_potential;   /* (images, columns) */
    double *marginal_error; /* (images,) */
    int64_t *num_pairs;     /* (images,) */
    int32_t unsuited;       /* whether an image is for another solver */
    void **found;           /* (images,) of ``found_pair``, to be collected */
} sparse_problem;

typedef struct {
    int64_t N, M, num_live; /* predictions, ground truths, live predictions */
    double log_n;           /* of the live ones */
    double epsilon;
    int64_t *column;   /* of each ground truth with mass, then the background */
    float *base;       /* background cost, -inf for the padding */
    float most_base;   /* the greatest of them */
    box_blocks blocks; /* of the predictions, if costs come from boxes */
    uint8_t *reach;    /* scratch, of each block */
    int uniform;       /* whether all live predictions have one gain */
    double gain;       /* that gain */
    double *gains;     /* else of each prediction, 0 for the padding */
    double *threshold; /* of each ground truth: all of lower d are pairs */
    int64_t *others;   /* of each: how many may be matched and are no pairs */
    double *far_gain;     /* of each: the sum of k_ij gain_i of boxes without
                             overlap, which all cost 1 */
    double faint_reach;   /* as the first threshold, of faint pairs */
    double *faint_kernel; /* of each ground truth: their greatest entry */
    double first_reach; /* the first threshold of mass 1, in epsilons */
    int64_t capacity, num_pairs;
    int32_t *pair_row; /* prediction of each pair */
    float *pair_cost;  /* cost of each pair */
    int64_t *start;    /* of each ground truth's pairs, and the end */
    int32_t *state;    /* of each prediction: how many pairs it has, plus BRIGHT
                          if one is not faint; or -1 - its row */
    double *kernel;    /* of each pair, then its mass */
    char *system;      /* the memory of the equations */
    double *new_single, *new_several; /* sums of rows */
    double background_before; /* v that the last w was made of */
    equations s;
} image;

static inline double power_of(double tau, double epsilon)
{
    return isinf(tau) ? 1.0 : tau / (tau + epsilon);
}

/* ---- which pairs ----------------------------------------------------------- */

/* Appends the predictions of d below a threshold; returns the least d, -INFINITY
   beyond the capacity. */
VECTORIZED static float scan(
    const float *restrict cost, const float *restrict base, int64_t N,
    float threshold, int32_t *restrict found, float *restrict costs,
    int64_t capacity, int64_t *count
)
{
    lanes least = (lanes){0} + INFINITY;
    float d[BLOCK], lowest = INFINITY;
    int64_t n = *count;
    for (int64_t start = 0; start < N; start += BLOCK) {
        int64_t length = N - start < BLOCK ? N - start : BLOCK;
        lanes *part = (lanes *)d;
        if (length == BLOCK) {
            const lanes *c = (const lanes *)(cost + start);
            const lanes *b = (const lanes *)(base + start);
            for (int i = 0; i < BLOCK / LANES; i++)
                part[i] = c[i] - b[i];
        } else
            for (int64_t i = 0; i < BLOCK; i++)
                d[i] = i < length ? cost[start + i] - base[start + i]
                                  : INFINITY;
        lanes low = LOWER(LOWER(part[0], part[1]), LOWER(part[2], part[3]));
        least = LOWER(low, least);
        flags below = low < threshold;
        if (!any(&below))
            continue;
        if (n + BLOCK > capacity)
            return -INFINITY;
        for (int64_t first = 0; first < length; first += LANES) {
            below = part[first / LANES] < threshold;
            if (!any(&below))
                continue;
            int64_t end = first + LANES < length ? first + LANES : length;
            for (int64_t i = first; i < end; i++) {
                found[n] = (int32_t)(start + i);
                costs[n] = cost[start + i];
                n += d[i] < threshold;
            }
        }
    }
    for (int lane = 0; lane < LANES; lane++)
        lowest = least[lane] < lowest ? least[lane] : lowest;
    *count = n;
    return lowest;
}

/* Appends the pairs of a ground truth, as the scans do. */
static float scan_column(
    image *im, const sparse_problem *p, int64_t index, int64_t j
)
{
    float threshold = (float)im->threshold[j];
    if (p->cost)
        return scan(p->cost + index * p->cost_image_stride
                        + im->column[j] * p->cost_column_stride,
                    im->base, im->N, threshold, im->pair_row, im->pair_cost,
                    im->capacity, &im->num_pairs);
    int64_t row = index * (p->num_columns - 1) + im->column[j];
    const uint64_t *allowed = p->allowed;
    if (allowed)
        allowed += row * im->blocks.num_blocks;
    return scan_boxes(&im->blocks, p->gt_boxes + 4 * row, allowed, im->base,
                      im->most_base, threshold, im->reach, im->pair_row,
                      im->pair_cost, im->capacity, &im->num_pairs);
}

/* The first threshold of a ground truth, in epsilons: its scaling grows with the
   mass that it asks for. */
static double first_reach(const image *im, int64_t j)
{
    double most = fmin(im->s.log_most[j], im->log_n);
    return im->first_reach + im->s.power2 * fmax(most, 0.0);
}

/* Finds the pairs below the thresholds, column by column. A ground truth that
   is far from all predictions keeps its closest ones: its scaling makes up for
   the distance, as far as tau2 lets it. Returns whether there is room. */
static int find_pairs(image *im, const sparse_problem *p, int64_t index)
{
    /* Boxes without overlap cost 1 and are no pairs. */
    double limit = p->cost ? INFINITY : 1.0 - im->most_base;
    double far = im->uniform ? im->gain * exp(-limit / im->epsilon) : 0.0;
    im->num_pairs = 0;
    for (int64_t j = 0; j < im->M; j++) {
        im->start[j] = im->num_pairs;
        for (int again = 0; again < 3; again++) {
            im->threshold[j] = fmin(im->threshold[j], limit);
            im->num_pairs = im->start[j];
            double low = scan_column(im, p, index, j);
            if (low < -MOST * im->epsilon)
                return 0;
            im->s.most[j] = -low / im->epsilon;
            double wanted = fmax(first_reach(im, j) * im->epsilon
                                     + im->s.power2 * low,
                                 low + im->epsilon);
            if (low <= 0.0 || wanted <= im->threshold[j]
                || im->threshold[j] >= limit)
                break;
            im->threshold[j] = (float)wanted;
        }
        im->faint_kernel[j] = exp(
            -im->faint_reach - im->s.power2 * fmax(-im->s.most[j], 0.0)
        );
        /* Its mass, if it gets any, is that of dropped pairs, or its kernel is
           beyond doubles. */
        if (im->num_pairs == im->start[j]
            || im->threshold[j] > MOST * im->epsilon)
            return 0;
        int64_t row = index * (p->num_columns - 1) + im->column[j];
        int64_t may = p->allowed ? p->num_candidates[row] : im->num_live;
        im->others[j] = may - (im->num_pairs - im->start[j]);
        im->far_gain[j] = im->threshold[j] >= limit
                              ? far * (double)im->others[j]
                              : 0.0;
    }
    im->start[im->M] = im->num_pairs;
    return 1;
}

/* ---- the system ------------------------------------------------------------ */

/* The next array in memory, NULL where only its size is asked for. */
static void *take(char *memory, size_t *used, int64_t count, size_t size)
{
    void *start = memory ? memory + *used : NULL;
    *used += (count * size + 63) / 64 * 64;
    return start;
}

static size_t lay_out_rows(rows *r, char *memory, size_t used, int64_t size)
{
    r->size = size;
    r->prediction = take(memory, &used, size, sizeof(int32_t));
    r->gain = take(memory, &used, size, sizeof(double));
    r->w = take(memory, &used, size, sizeof(double));
    r->sum = take(memory, &used, size, sizeof(double));
    return used;
}

static size_t lay_out_pairs(
    pairs *of, char *memory, size_t used, int64_t columns, int64_t size
)
{
    of->start = take(memory, &used, columns, sizeof(int64_t));
    of->kernel = take(memory, &used, size, sizeof(double));
    of->place = take(memory, &used, size, sizeof(int32_t));
    of->row = take(memory, &used, size, sizeof(int32_t));
    return used;
}

static size_t lay_out_system(
    image *im, char *memory, int64_t singles, int64_t several
)
{
    int64_t columns = im->M + 1, K = im->num_pairs, several_rows = several / 2;
    size_t used = 0;
    equations *s = &im->s;
    used = lay_out_pairs(&s->single, memory, used, columns, singles);
    used = lay_out_pairs(&s->several, memory, used, columns, several);
    used = lay_out_pairs(
        &s->faint, memory, used, columns, K - singles - several
    );
    used = lay_out_rows(&s->single_rows, memory, used, singles);
    used = lay_out_rows(&s->several_rows, memory, used, several_rows);
    im->new_single = take(memory, &used, singles, sizeof(double));
    im->new_several = take(memory, &used, several_rows, sizeof(double));
    return used;
}

static size_t lay_out(image *im, char *memory)
{
    int64_t columns = im->M + 1;
    size_t used = 0;
    int64_t num_blocks = (im->N + BLOCK - 1) / BLOCK;
    im->base = take(memory, &used, num_blocks * BLOCK, sizeof(float));
    im->reach = take(memory, &used, num_blocks, 1);
    im->gains = take(memory, &used, im->uniform ? 0 : im->N, sizeof(double));
    im->state = take(memory, &used, im->N, sizeof(int32_t));
    im->column = take(memory, &used, columns, sizeof(int64_t));
    im->threshold = take(memory, &used, columns, sizeof(double));
    im->others = take(memory, &used, columns, sizeof(int64_t));
    im->far_gain = take(memory, &used, columns, sizeof(double));
    im->faint_kernel = take(memory, &used, columns, sizeof(double));
    im->start = take(memory, &used, columns, sizeof(int64_t));
    im->s.log_least = take(memory, &used, columns, sizeof(double));
    im->s.log_most = take(memory, &used, columns, sizeof(double));
    im->s.v = take(memory, &used, columns, sizeof(double));
    im->s.log_v = take(memory, &used, columns, sizeof(double));
    im->s.last = take(memory, &used, columns, sizeof(double));
    im->s.most = take(memory, &used, columns, sizeof(double));
    im->s.t = take(memory, &used, columns, sizeof(double));
    im->s.reach = take(memory, &used, columns, sizeof(double));
    im->s.ratio = take(memory, &used, columns, sizeof(double));
    im->s.faint_gain = take(memory, &used, columns, sizeof(double));
    return used;
}

/* exp(-d / epsilon) of the pairs. */
VECTORIZED static void fill_kernel(
    double *restrict kernel, const int32_t *restrict row,
    const float *restrict cost, const float *restrict base, int64_t size,
    double slope
)
{
    for (int64_t p = 0; p < size; p++)
        kernel[p] = slope * ((double)cost[p] - base[row[p]]);
    for (int64_t p = 0; p < size; p++)
        kernel[p] = exp_double(kernel[p] > -MOST ? kernel[p] : -MOST);
}

static inline double gain_of(const image *im, int64_t i)
{
    return im->uniform ? im->gain : im->gains[i];
}

/* Counts the pairs of each row, and notes whether one is not faint. */
static void count_pairs(image *im)
{
    memset(im->state, 0, sizeof(int32_t) * im->N);
    for (int64_t j = 0; j < im->M; j++) {
        double faint = im->faint_kernel[j];
        for (int64_t k = im->start[j]; k < im->start[j + 1]; k++) {
            int32_t *state = im->state + im->pair_row[k];
            *state = (*state + 1) | (im->kernel[k] > faint ? BRIGHT : 0);
        }
    }
}

static inline int is_faint(int32_t state)
{
    return state >= 0 && state < BRIGHT;
}

/* Sorts the pairs into those of rows with one pair, of rows with more, and of
   faint rows. Returns nonzero if there is no memory for it. */
static int make_system(image *im)
{
    int64_t K = im->num_pairs, singles = 0, bright = 0;
    int32_t *state = im->state;
    equations *s = &im->s;
    im->kernel = aligned_alloc(64, (sizeof(double) * K + 127) / 64 * 64);
    if (!im->kernel)
        return 1;
    fill_kernel(im->kernel, im->pair_row, im->pair_cost, im->base, K,
                -1.0 / im->epsilon);
    count_pairs(im);
    for (int64_t k = 0; k < K; k++) {
        int32_t of_row = state[im->pair_row[k]];
        singles += of_row == BRIGHT + 1;
        bright += of_row > BRIGHT;
    }
    size_t size = lay_out_system(im, NULL, singles, bright - singles);
    im->system = aligned_alloc(64, size + 64);
    if (!im->system)
        return 1;
    lay_out_system(im, im->system, singles, bright - singles);

    int64_t one = 0, more = 0, faint = 0;
    int32_t row = 0;
    for (int64_t j = 0; j < im->M; j++) {
        int64_t start = im->start[j], stop = im->start[j + 1];
        s->single.start[j] = one;
        s->several.start[j] = more;
        s->faint.start[j] = faint;
        double faint_gain = 0.0;
        for (int64_t k = start; k < stop; k++) {
            int32_t i = im->pair_row[k];
            if (state[i] == BRIGHT + 1) {
                s->single.kernel[one] = im->kernel[k];
                s->single.place[one] = (int32_t)k;
                s->single_rows.prediction[one] = i;
                s->single_rows.gain[one++] = gain_of(im, i);
                continue;
            }
            if (is_faint(state[i])) {
                s->faint.kernel[faint] = im->kernel[k] * gain_of(im, i);
                s->faint.place[faint] = (int32_t)k;
                faint_gain += s->faint.kernel[faint++];
                continue;
            }
            if (state[i] > 0) {
                s->several_rows.prediction[row] = i;
                s->several_rows.gain[row] = gain_of(im, i);
                state[i] = -1 - row++;
            }
            s->several.kernel[more] = im->kernel[k];
            s->several.place[more] = (int32_t)k;
            s->several.row[more++] = -1 - state[i];
        }
        s->faint_gain[j] = faint_gain + im->far_gain[j];
    }
    s->single.start[im->M] = one;
    s->several.start[im->M] = more;
    s->faint.start[im->M] = faint;
    s->several_rows.size = row;

    s->gain_of_others = im->gain * (double)(im->num_live - one - row);
    if (!im->uniform) {
        s->gain_of_others = 0.0;
        for (int64_t i = 0; i < im->N; i++)
            s->gain_of_others += is_faint(state[i]) ? im->gains[i] : 0.0;
    }
    return 0;
}

static void free_system(image *im)
{
    free(im->system);
    free(im->kernel);
    im->system = NULL;
    im->kernel = NULL;
}

/* ---- the iteration --------------------------------------------------------- */

/* Raises the thresholds where what was dropped, or the sums of faint pairs, may
   not be negligible. */
static outcome check(image *im, const sparse_problem *p)
{
    const equations *s = &im->s;
    double dropped = 0.0, most = NEGLIGIBLE / (double)im->M, share = 0.0;
    /* w of a prediction without pairs, if all have one gain. */
    double w = im->gain * exp(-s->power1 * s->log_v[im->M]);
    outcome found = SOLVED;
    for (int64_t j = 0; j < im->M; j++) {
        int has_faint = s->faint.start[j] < s->faint.start[j + 1];
        share += has_faint ? s->ratio[j] * im->faint_kernel[j] : 0.0;
        if (im->others[j] == 0)
            continue;
        double threshold = im->threshold[j];
        double kernel = exp(-threshold / im->epsilon);
        /* Summed up, and each too little for a pair and in a row's sum. */
        if (im->far_gain[j] > 0.0
            && fmax(s->ratio[j], s->v[j] * w) * kernel < p->least_mass)
            continue;
        double flows = s->reach[j] * kernel;
        dropped += flows;
        if (flows > most)
            im->threshold[j] = threshold
                               + im->epsilon * (log(flows / most) + 2.0);
        if (flows > most && im->far_gain[j] > 0.0)
            return UNSUITED;
    }
    if (share > FAINT) {
        im->faint_reach = INFINITY;
        found = AGAIN;
    }
    return dropped <= NEGLIGIBLE ? found : AGAIN;
}

static outcome iterate(image *im, const sparse_problem *p, double *error)
{
    equations *s = &im->s;
    int64_t M = im->M;
    double n = (double)im->num_live, before = 0.0, speed = 0.0;
    for (int64_t j = 0; j <= M; j++) {
        /* Algorithm 2, line 4: v = 1 / (n + 1). */
        s->log_v[j] = s->last[j] = -log((double)(M + 1));
        s->v[j] = 1.0 / (double)(M + 1);
        s->reach[j] = s->ratio[j] = 0.0;
    }
    s->most[M] = 0.0;
    for (int64_t left = p->num_iters; left > 0; left--) {
        sum_rows(s, s->single_rows.sum, s->several_rows.sum);
        scale_rows(&s->single_rows, s->power1);
        scale_rows(&s->several_rows, s->power1);
        sum_columns(s);
        before = s->v[M];
        double mass, moved = scale_columns(s, &mass);
        if (!(moved < INFINITY))
            return UNSUITED;
        note_reach(s);
        if (fmax(moved, speed) * (left - 1) < NO_MOVE
            || mass * (left - 1) < p->tol * n || left == 1)
            break;
        if (p->relaxation == 1.0)
            continue;
        speed = extrapolate_columns(s, p->num_iters - left, p->relaxation);
        if (!(speed < INFINITY))
            return UNSUITED;
        note_reach(s);
    }
    im->background_before = before;
    *error = moved_mass(s, before, im->new_single, im->new_several) / n;
    *error = s->power1 == 0.0 ? 0.0 : *error;
    return check(im, p);
}

/* ---- the result ------------------------------------------------------------ */

static inline float to_float(double x)
{
    return x < FLT_MAX ? (float)x : FLT_MAX;
}

/* Writes what a row's prediction sends to the background, and its potential; the
   sums of the rows are no longer needed. */
VECTORIZED static void write_rows(
    const image *im, const rows *r, float *background, double *potential
)
{
    double v = im->s.v[im->M];
    const double *restrict w = r->w;
    double *restrict scaled_log = r->sum;
    for (int64_t i = 0; i < r->size; i++)
        scaled_log[i] = im->epsilon * (log_double(w[i]) - im->log_n);
    for (int64_t i = 0; i < r->size; i++) {
        int64_t prediction = r->prediction[i];
        background[prediction] = to_float(w[i] * v);
        potential[prediction] = scaled_log[i] + im->base[prediction];
    }
}

/* Predictions without pairs; ``before`` is the v that they were scaled with. */
VECTORIZED static void write_others(
    const image *im, double before, float *restrict background,
    double *restrict potential
)
{
    const float *restrict base = im->base;
    double epsilon = im->epsilon, v = im->s.v[im->M];
    double factor = exp(-im->s.power1 * log(before)), log_n = im->log_n;
    if (im->uniform) {
        double w = im->gain * factor, log_w = epsilon * (log(w) - log_n);
        for (int64_t i = 0; i < im->N; i++) {
            background[i] = base[i] > -INFINITY ? to_float(w * v) : 0.0f;
            potential[i] = log_w + base[i];
        }
        return;
    }
    for (int64_t i = 0; i < im->N; i++) {
        double w = factor * im->gains[i];
        background[i] = to_float(w * v);
        potential[i] = w > 0.0 ? epsilon * (log_double(w) - log_n) + base[i]
                                : -INFINITY;
    }
}

/* The pairs of enough mass, in order; NULL if there is no memory for them. */
static found_pair *weigh(image *im, double least, int64_t *count)
{
    const equations *s = &im->s;
    double *mass = im->kernel;
    double faint_w = exp(-s->power1 * log(im->background_before));
    int64_t n = 0;
    for (int64_t j = 0; j < im->M; j++) {
        double v = s->v[j];
        for (int64_t p = s->faint.start[j]; p < s->faint.start[j + 1]; p++)
            mass[s->faint.place[p]] = s->faint.kernel[p] * faint_w * v;
        for (int64_t p = s->single.start[j]; p < s->single.start[j + 1]; p++)
            mass[s->single.place[p]] *= s->single_rows.w[p] * v;
        for (int64_t p = s->several.start[j]; p < s->several.start[j + 1]; p++)
            mass[s->several.place[p]] *= s->several_rows.w[s->several.row[p]]
                                         * v;
    }
    found_pair *found = malloc(sizeof(found_pair) * (im->num_pairs + 1));
    if (!found)
        return NULL;
    for (int64_t j = 0; j < im->M; j++)
        for (int64_t k = im->start[j]; k < im->start[j + 1]; k++) {
            found[n].ground_truth = (int32_t)im->column[j];
            found[n].prediction = im->pair_row[k];
            found[n].mass = to_float(mass[k]);
            n += mass[k] > least;
        }
    *count = n;
    return found;
}

/* ---- the batch ------------------------------------------------------------- */

/* Numbers of an image's predictions. */
typedef struct {
    int64_t num_live;
    float least_mass, most_mass, least_cost, most_cost; /* of the live ones */
} survey;

VECTORIZED static survey look(
    const float *restrict mass, const float *restrict cost, int64_t N
)
{
    survey s = {0, INFINITY, 0.0f, INFINITY, -INFINITY};
    float least_mass[LANES], most_mass[LANES], least[LANES], most[LANES];
    int32_t live = 0;
    for (int lane = 0; lane < LANES; lane++) {
        least_mass[lane] = least[lane] = INFINITY;
        most_mass[lane] = most[lane] = -INFINITY;
    }
    for (int64_t start = 0; start < N; start += LANES) {
        int64_t length = N - start < LANES ? N - start : LANES;
        for (int64_t i = 0; i < length; i++) {
            float m = mass[start + i], c = cost[start + i];
            int is_live = m > 0.0f;
            live += is_live;
            float low = is_live ? m : INFINITY;
            least_mass[i] = low < least_mass[i] ? low : least_mass[i];
            most_mass[i] = m > most_mass[i] ? m : most_mass[i];
            low = is_live ? c : INFINITY;
            least[i] = low < least[i] ? low : least[i];
            low = is_live ? c : -INFINITY;
            most[i] = low > most[i] ? low : most[i];
        }
    }
    s.num_live = live;
    for (int lane = 0; lane < LANES; lane++) {
        s.least_mass = fminf(s.least_mass, least_mass[lane]);
        s.most_mass = fmaxf(s.most_mass, most_mass[lane]);
        s.least_cost = fminf(s.least_cost, least[lane]);
        s.most_cost = fmaxf(s.most_cost, most[lane]);
    }
    return s;
}

/* The logarithm of a gain. */
static inline double log_gain(const image *im, double log_mass, double cost)
{
    double power = im->s.power1;
    return power * log_mass + (1.0 - power) * (im->log_n - cost / im->epsilon);
}

VECTORIZED static void fill_base(
    float *restrict base, const float *restrict mass,
    const float *restrict cost, int64_t N
)
{
    for (int64_t i = 0; i < N; i++)
        base[i] = mass[i] > 0.0f ? cost[i] : -INFINITY;
    for (int64_t i = N; i % BLOCK; i++)
        base[i] = -INFINITY;
}

VECTORIZED static void fill_gains(const image *im, const float *restrict mass)
{
    const float *restrict base = im->base;
    double *restrict gains = im->gains, n = (double)im->num_live;
    for (int64_t i = 0; i < im->N; i++) {
        int live = mass[i] > 0.0f;
        double x = log_gain(im, log_double(live ? mass[i] * n : 1.0),
                            live ? base[i] : 0.0);
        gains[i] = live ? exp_double(x) : 0.0;
    }
}

/* Writes the result; returns nonzero if there is no memory for it. */
static int finish(image *im, const sparse_problem *p, int64_t index)
{
    found_pair *found = weigh(im, p->least_mass, p->num_pairs + index);
    if (!found)
        return 1;
    float *background = p->background + index * im->N;
    double *potential = p->pred_potential + index * im->N;
    double *gt_potential = p->gt_potential + index * p->num_columns;
    write_others(im, im->background_before, background, potential);
    write_rows(im, &im->s.single_rows, background, potential);
    write_rows(im, &im->s.several_rows, background, potential);
    for (int64_t j = 0; j < p->num_columns; j++)
        gt_potential[j] = -INFINITY;
    for (int64_t j = 0; j <= im->M; j++)
        gt_potential[im->column[j]] = im->epsilon * im->s.log_v[j];
    p->found[index] = found;
    return 0;
}

/* Solves an image; finds nothing if it is for another solver. Returns nonzero if
   there is no memory. */
static int try_image(image *im, const sparse_problem *p, int64_t index)
{
    int64_t last = p->num_columns - 1;
    const float *background = p->background_cost
                              + index * p->background_image_stride;
    const float *gt_mass = p->gt_mass + index * p->num_columns;
    const float *pred_mass = p->pred_mass + index * im->N;
    const float *least = gt_mass, *most = gt_mass;
    int64_t live = 0;
    if (p->gt_range) {
        least = p->gt_range + index * p->num_columns;
        most = least + p->num_images * p->num_columns;
    }
    for (int64_t j = 0; j <= last; j++)
        if (gt_mass[j] > 0.0f) {
            im->s.log_least[live] = log_of_mass(least[j], im->num_live);
            im->s.log_most[live] = log_of_mass(most[j], im->num_live);
            im->column[live++] = j;
        }
    fill_base(im->base, pred_mass, background, im->N);
    if (!im->uniform)
        fill_gains(im, pred_mass);
    for (int64_t j = 0; j < im->M; j++)
        im->threshold[j] = (float)(first_reach(im, j) * im->epsilon);
    outcome found = AGAIN;
    for (int tries = 0; found == AGAIN && tries < MOST_TRIES; tries++) {
        if (!find_pairs(im, p, index))
            return 0;
        int failed = make_system(im);
        if (!failed)
            found = iterate(im, p, p->marginal_error + index);
        if (!failed && found == SOLVED)
            failed = finish(im, p, index);
        free_system(im);
        if (failed)
            return 1;
    }
    return 0;
}

/* Lets other threads know that they need not go on. */
static void give_up(sparse_problem *p)
{
    __atomic_store_n(&p->unsuited, 1, __ATOMIC_RELAXED);
}

static int solve_image(void *arguments, int64_t index)
{
    sparse_problem *p = arguments;
    int64_t N = p->num_preds, last = p->num_columns - 1;
    const float *gt_mass = p->gt_mass + index * p->num_columns;
    const float *pred_mass = p->pred_mass + index * N;
    const float *background = p->background_cost
                              + index * p->background_image_stride;
    p->num_pairs[index] = 0;
    p->found[index] = NULL;
    if (__atomic_load_n(&p->unsuited, __ATOMIC_RELAXED))
        return 0;
    survey seen = look(pred_mass, background, N);
    double n = (double)seen.num_live, low, high;
    image im = {
        .N = N,
        .num_live = seen.num_live,
        .log_n = log(n),
        .epsilon = p->epsilon[index],
        .most_base = seen.most_cost,
        .uniform = seen.least_mass == seen.most_mass
                   && seen.least_cost == seen.most_cost,
        .s.power1 = power_of(p->tau1, p->epsilon[index]),
        .s.power2 = power_of(p->tau2, p->epsilon[index])
    };
    /* Without a background there are no sums to compare with. */
    if (im.num_live == 0 || !(gt_mass[last] > 0.0f)) {
        give_up(p);
        return 0;
    }
    low = log_gain(&im, log(seen.least_mass * n), seen.most_cost);
    high = log_gain(&im, log(seen.most_mass * n), seen.least_cost);
    if (!(low > -MOST && high < MOST)) {
        give_up(p);
        return 0;
    }
    im.gain = exp(high);
    for (int64_t j = 0; j < last; j++)
        im.M += gt_mass[j] > 0.0f;
    im.s.num_columns = im.M + 1;
    double entries = n * (im.M > 0 ? im.M : 1);
    im.faint_reach = FAINT_REACH + log((double)(im.M > 0 ? im.M : 1));
    im.first_reach = log(entries / NEGLIGIBLE) + 2.5;
    im.capacity = (int64_t)(p->most_pairs * entries) + BLOCK;
    char *memory = aligned_alloc(64, lay_out(&im, NULL) + 64);
    im.pair_row = malloc(sizeof(int32_t) * im.capacity);
    im.pair_cost = malloc(sizeof(float) * im.capacity);
    int failed = !memory || !im.pair_row || !im.pair_cost;
    if (!p->cost)
        im.blocks = blocks_of(&p->boxes, index);
    if (!failed) {
        lay_out(&im, memory);
        failed = try_image(&im, p, index);
        if (!p->found[index])
            give_up(p);
    }
    free(im.pair_cost);
    free(im.pair_row);
    free(memory);
    return failed;
}

/* Solves all images, unless one is for another solver; returns nonzero if there
   was no memory for it. What was found is to be collected in any case. */
int solve_sparse(sparse_problem *problem, int64_t num_threads)
{
    problem->unsuited = 0;
    return for_each_image(
        problem->num_images, num_threads, solve_image, problem
    );
}
