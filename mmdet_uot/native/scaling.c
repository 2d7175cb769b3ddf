/* Algorithm 2 of the paper for a batch of images, on the CPU.

   Each image is solved by itself, without its padding. Iterations work on a
   kernel that references are absorbed in,

       K_ij = N exp(r_i + c_j - C_ij / epsilon),
       r_i = min_j (C_ij / epsilon - log v_j) - log N,
       c_j = min_i (C_ij / epsilon - r_i) - log N,

   so that it has an entry of 1 in every column and, with v, in every row.
   Entries below a floor are raised to it, to be no subnormal numbers. An
   iteration is one read of the kernel. It counts if what was raised is
   negligible in all sums; if not, the references are renewed, and where that does
   not help, iterations are done in the log domain.

   Rows are predictions, columns are ground truths and the background. Costs
   and plans are contiguous along the predictions. The kernel is cut into tiles
   of some predictions and all columns, which lie one behind the other. Masses
   and kernel are multiplied by the number of predictions N, so that plans read
   as weights. */

#include "scaling_loops.h"

#include <stdlib.h>

typedef struct {
    const float *cost; /* (images, columns, predictions) */
    int64_t cost_image_stride, cost_column_stride;
    const float *pred_mass; /* (images, predictions) */
    const float *gt_mass;   /* (images, columns) */
    const float *gt_range;  /* (2, images, columns) least and most, or NULL */
    const double *epsilon;  /* (images,) */
    double tau1, tau2, relaxation, tol;
    int64_t num_iters, num_images, num_preds, num_columns;
    float *weights;         /* (images, columns, predictions) */
    double *pred_potential; /* (images, predictions) */
    double *gt_potential;   /* (images, columns) */
    double *marginal_error; /* (images,) */
} scaling_problem;

/* ---- the iteration ------------------------------------------------------- */

/* Updates u, then v, in the log domain. Returns how far log v has moved. */
static double log_iteration(image *im)
{
    double *log_u = im->sum, *log_v = im->gt.log_x, change = 0.0;
    row_log_sums(im, log_v, log_u);
    for (int64_t i = 0; i < im->num_preds; i++)
        log_u[i] = im->pred.power * (im->pred.log_mass[i] - log_u[i]);
    refer_to(&im->pred, log_u);
    for (int64_t j = 0; j < im->gt.size; j++) {
        double log_sum = column_log_sum(im, j, im->pred.reference);
        const double *least = im->gt.log_mass, *most = least;
        if (im->gt.log_least)
            least = im->gt.log_least, most = im->gt.log_most;
        double move = clipped(im->gt.power * (least[j] - log_sum),
                              im->gt.power * (most[j] - log_sum))
                      - log_v[j];
        double mass = exp(fmin(log_sum + log_v[j], 700.0));
        change = fmax(change, fabs(move));
        log_v[j] += move;
        im->moved += mass * fabs(expm1(move));
    }
    return change;
}

/* Renews the references for a v; tells whether floats can carry the scalings. */
static int renew_references(image *im)
{
    double *reference = im->top;
    const double *log_v = im->gt.log_x;
    row_tops(im, log_v, reference);
    for (int64_t i = 0; i < im->num_preds; i++)
        reference[i] = -reference[i];
    if (!refer_to(&im->pred, reference))
        return 0;
    for (int64_t j = 0; j < im->gt.size; j++)
        reference[j] = -column_top(im, j, im->pred.reference);
    if (!refer_to(&im->gt, reference))
        return 0;
    for (int64_t j = 0; j < im->gt.size; j++)
        im->gt.factor[j] = (float)exp(log_v[j] - im->gt.reference[j]);
    fill_kernel(im);
    return 1;
}

/* Sets the references for the v of the start, which is the same for all columns,
   in floats: of differences of costs they lose little. Tells whether floats can
   carry the scalings. */
static int set_first_references(image *im)
{
    double *reference = im->top, log_v = im->gt.log_x[0];
    float *least_cost = im->pred.factor, *nearest = im->gt.sum;
    find_least(im, least_cost, nearest);
    if (!fill_first_kernel(im, least_cost, nearest))
        return renew_references(im);
    for (int64_t i = 0; i < im->num_preds; i++)
        reference[i] = -im->slope * least_cost[i] - log_v - im->log_n;
    if (!refer_to(&im->pred, reference))
        return 0;
    for (int64_t j = 0; j < im->gt.size; j++)
        reference[j] = -im->slope * nearest[j] + log_v;
    if (!refer_to(&im->gt, reference))
        return 0;
    for (int64_t j = 0; j < im->gt.size; j++)
        im->gt.factor[j] = (float)exp(log_v - im->gt.reference[j]);
    return 1;
}

/* Gives columns their mass again, which the rounding of huge exponents takes. */
static void restore_columns(image *im)
{
    const float *kernel = im->kernel;
    for (int64_t j = 0; j < im->gt.size; j++)
        im->sum[j] = 0.0;
    for (int64_t tile = 0; tile < im->num_tiles; tile++)
        for (int64_t j = 0; j < im->gt.size; j++, kernel += TILE)
            for (int64_t i = 0; i < TILE; i++)
                im->sum[j] += kernel[i] * im->pred.factor[tile * TILE + i];
    for (int64_t j = 0; j < im->gt.size; j++)
        im->gt.factor[j] = (float)(im->gt.mass[j] / im->sum[j]);
}

/* Runs the iterations; leaves kernel and factors whose product is the plan. In
   between, log v is up to date except after an iteration on the kernel. */
static void iterate(
    image *im, int64_t num_iters, double relaxation, double least_moved
)
{
    int on_kernel = 0, in_vain = 0;
    double change = 0.0, speed = 0.0;
    for (int64_t left = num_iters; left > 0; left--) {
        im->moved = 0.0;
        /* After a log iteration, as long as it is worth trying. */
        int renewed = !on_kernel && in_vain < MOST_IN_VAIN
                      && change < WORTH_RENEWING;
        if (renewed)
            on_kernel = left == num_iters ? set_first_references(im)
                                          : renew_references(im);
        change = on_kernel ? kernel_iteration(im) : IN_DOUBT;
        if (on_kernel && !renewed && change == IN_DOUBT) {
            renewed = 1;
            log_scaling(&im->gt, im->gt.log_x);
            change = renew_references(im) ? kernel_iteration(im) : IN_DOUBT;
        }
        on_kernel = change != IN_DOUBT;
        if (!on_kernel) {
            in_vain += renewed;
            change = log_iteration(im);
        }
        /* The next one moves log u and log v no further. */
        if (fmax(change, speed) * (left - 1) < NO_MOVE
            || im->moved * (left - 1) < least_moved || left == 1)
            break;
        if (relaxation > 1.0)
            speed = move_on(
                &im->gt, num_iters - left, relaxation, &on_kernel
            );
    }
    if (on_kernel)
        log_scaling(&im->gt, im->gt.log_x);
    else {
        refer_to(&im->gt, im->gt.log_x);
        fill_kernel(im);
        if (im->gt.power == 1.0 && !im->gt.log_least)
            restore_columns(im);
    }
}

/* sum_i |(P 1)_i - alpha_i exp(-f_i / tau1)|; tau1 = 0 asks for nothing. */
VECTORIZED static double marginal_error(
    const image *im, const double *restrict log_u, const float *restrict sent
)
{
    const float *restrict mass = im->pred.mass;
    double power = im->pred.power, slope = 1.0 - 1.0 / power, total = 0.0;
    for (int64_t start = 0; start < im->num_preds; start += TILE) {
        int64_t length = least(TILE, im->num_preds - start);
        float error[TILE];
        for (int64_t i = 0; i < length; i++) {
            float x = (float)(slope * log_u[start + i]);
            x = x > 88.0f ? 88.0f : x;
            float asked = exp_float(x > -87.0f ? x : -87.0f);
            asked = power == 1.0 ? 1.0f : asked;
            float sum = sent[start + i];
            sum = sum < FLT_MAX ? sum : FLT_MAX;
            error[i] = fabsf(mass[start + i] * asked - sum);
        }
        for (int64_t i = 0; i < length; i++)
            total += error[i];
    }
    return power == 0.0 ? 0.0 : total / exp(im->log_n);
}

/* ---- the batch ----------------------------------------------------------- */

/* The next array in memory, NULL where only its size is asked for. */
static void *take(char *memory, size_t *used, int64_t count, size_t size)
{
    void *start = memory ? memory + *used : NULL;
    *used += (count * size + 63) / 64 * 64;
    return start;
}

/* Lays the arrays of an image into memory; returns how much they take. */
static size_t lay_out(
    image *im, float ***weights, char *memory, int64_t N, int64_t M,
    int has_range
)
{
    size_t used = 0;
    int64_t padded = im->num_tiles * TILE, longest = padded > M ? padded : M;
    im->column_sum = take(memory, &used, M, sizeof(vector));
    im->kernel = take(memory, &used, padded * M, sizeof(float));
    im->pred.mass = take(memory, &used, padded, sizeof(float));
    im->pred.gain = take(memory, &used, padded, sizeof(float));
    im->pred.factor = take(memory, &used, padded, sizeof(float));
    im->gt.mass = take(memory, &used, M, sizeof(float));
    im->gt.before = take(memory, &used, M, sizeof(float));
    im->gt.sum = take(memory, &used, M, sizeof(float));
    im->gt.gain = take(memory, &used, M, sizeof(float));
    im->gt.factor = take(memory, &used, M, sizeof(float));
    im->pred.reference = take(memory, &used, N, sizeof(double));
    im->pred.log_mass = take(memory, &used, N, sizeof(double));
    im->gt.reference = take(memory, &used, M, sizeof(double));
    im->gt.log_mass = take(memory, &used, M, sizeof(double));
    im->gt.log_x = take(memory, &used, M, sizeof(double));
    im->gt.last = take(memory, &used, M, sizeof(double));
    if (has_range) {
        im->gt.log_least = take(memory, &used, M, sizeof(double));
        im->gt.log_most = take(memory, &used, M, sizeof(double));
        im->gt.least_gain = take(memory, &used, M, sizeof(float));
        im->gt.one = take(memory, &used, M, sizeof(float));
        im->gt.most_gain = take(memory, &used, M, sizeof(float));
    }
    im->top = take(memory, &used, longest, sizeof(double));
    im->sum = take(memory, &used, longest, sizeof(double));
    im->cost = take(memory, &used, M, sizeof(float *));
    *weights = take(memory, &used, M, sizeof(float *));
    return used;
}

/* From a scaling's logarithm to epsilon times it, -infinity where no mass is. */
VECTORIZED static void to_potential(
    const side *s, double epsilon, double *restrict log_x
)
{
    for (int64_t i = 0; i < s->size; i++)
        log_x[i] = s->mass[i] > 0.0f ? epsilon * log_x[i] : -INFINITY;
}

static void solve(
    image *im, const scaling_problem *p, int64_t index, float **weights
)
{
    int64_t N = im->num_preds;
    double epsilon = p->epsilon[index];
    double *log_u = p->pred_potential + index * N;
    double *log_v = p->gt_potential + index * p->num_columns;
    const float *gt_mass = p->gt_mass + index * p->num_columns;
    /* Algorithm 2, line 4: v = 1 / (n + 1). */
    for (int64_t j = 0; j < im->gt.size; j++)
        im->gt.log_x[j] = im->gt.last[j] = -log((double)im->gt.size);
    iterate(im, p->num_iters, p->relaxation, p->tol * exp(im->log_n));

    log_scaling(&im->pred, log_u);
    weigh(im, weights, im->pred.gain);
    p->marginal_error[index] = marginal_error(im, log_u, im->pred.gain);
    to_potential(&im->pred, epsilon, log_u);
    for (int64_t j = 0, live = 0; live < im->gt.size; j++)
        if (gt_mass[j] > 0.0f)
            log_v[j] = epsilon * im->gt.log_x[live++];
}

static int solve_image(void *arguments, int64_t index)
{
    const scaling_problem *p = arguments;
    int64_t N = p->num_preds, columns = p->num_columns, n = 0, M = 0;
    const float *pred_mass = p->pred_mass + index * N;
    const float *gt_mass = p->gt_mass + index * columns;
    float **live_weights;
    char *memory;
    image im = {
        .num_preds = N,
        .num_tiles = (N + TILE - 1) / TILE,
        .slope = -1.0 / p->epsilon[index],
        .pred.size = N
    };
    for (int64_t i = 0; i < N; i++)
        n += pred_mass[i] > 0.0f;
    for (int64_t j = 0; j < columns; j++)
        M += gt_mass[j] > 0.0f;
    M = n > 0 ? M : 0;
    im.log_n = log((double)(n > 0 ? n : 1));
    im.gt.size = M;
    memory = aligned_alloc(
        64, lay_out(&im, &live_weights, NULL, N, M, p->gt_range != NULL)
    );
    if (!memory)
        return 1;
    lay_out(&im, &live_weights, memory, N, M, p->gt_range != NULL);
    set_tau(&im.pred, p->tau1, p->epsilon[index]);
    set_tau(&im.gt, p->tau2, p->epsilon[index]);
    for (int64_t i = 0; i < N; i++)
        set_mass(&im.pred, i, (double)pred_mass[i] * n);
    for (int64_t i = N; i < im.num_tiles * TILE; i++)
        im.pred.mass[i] = im.pred.gain[i] = im.pred.factor[i] = 0.0f;
    for (int64_t j = 0, live = 0; j < columns; j++) {
        float *weights = p->weights + (index * columns + j) * N;
        if (M > 0 && gt_mass[j] > 0.0f) {
            im.cost[live] = p->cost + index * p->cost_image_stride
                            + j * p->cost_column_stride;
            live_weights[live] = weights;
            if (p->gt_range) {
                const float *least = p->gt_range + index * columns;
                const float *most = least + p->num_images * columns;
                im.gt.log_least[live] = log_of_mass(least[j], n);
                im.gt.log_most[live] = log_of_mass(most[j], n);
            }
            set_mass(&im.gt, live++, (double)gt_mass[j] * n);
        } else {
            memset(weights, 0, sizeof(float) * N);
            p->gt_potential[index * columns + j] = -INFINITY;
        }
    }
    if (M > 0) {
        solve(&im, p, index, live_weights);
    } else {
        p->marginal_error[index] = 0.0;
        for (int64_t i = 0; i < N; i++)
            p->pred_potential[index * N + i] = -INFINITY;
    }
    free(memory);
    return 0;
}

/* Solves all images; returns nonzero if there was no memory for it. */
int solve_scaling(scaling_problem *problem, int64_t num_threads)
{
    return for_each_image(
        problem->num_images, num_threads, solve_image, problem
    );
}

const char *source_hash(void)
{
    return SOURCE_HASH;
}
