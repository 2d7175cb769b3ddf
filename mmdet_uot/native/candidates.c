/* Which pairs may be matched, and infinite costs for the others. */

#include "parallel.h"

#include <math.h>
#include <string.h>

typedef struct {
    int64_t num_images, num_preds, num_rows;
    const int64_t *num_gts; /* (images,) */
    const float *points;    /* (images, predictions, 4) x, y and how far they
                               reach; may repeat one image */
    int64_t point_image_stride;
    const float *bounds; /* (images, rows, 4) xyxy */
    int64_t of_any;      /* whether the bounds of another row do as well */
    uint8_t *is_near;    /* (images, rows, predictions) */
} near_points;

VECTORIZED static void find_near(
    const near_points *p, const float *restrict points, const float *bounds,
    uint8_t *restrict is_near
)
{
    float left = bounds[0], top = bounds[1];
    float right = bounds[2], bottom = bounds[3];
    for (int64_t i = 0; i < p->num_preds; i++) {
        float x = points[4 * i], y = points[4 * i + 1];
        float reach_x = points[4 * i + 2], reach_y = points[4 * i + 3];
        is_near[i] = (left < x + reach_x) & (x - reach_x < right)
                     & (top < y + reach_y) & (y - reach_y < bottom);
    }
}

VECTORIZED static void join(
    uint8_t *restrict into, const uint8_t *restrict from, int64_t size
)
{
    for (int64_t i = 0; i < size; i++)
        into[i] |= from[i];
}

static int find_near_of_image(void *arguments, int64_t image)
{
    const near_points *p = arguments;
    int64_t N = p->num_preds;
    uint8_t *rows = p->is_near + image * p->num_rows * N;
    memset(rows, 0, p->num_rows * N);
    for (int64_t j = 0; j < p->num_gts[image]; j++)
        find_near(p, p->points + image * p->point_image_stride,
                  p->bounds + 4 * (image * p->num_rows + j), rows + j * N);
    if (!p->of_any)
        return 0;
    for (int64_t j = 1; j < p->num_gts[image]; j++)
        join(rows, rows + j * N, N);
    for (int64_t j = 1; j < p->num_gts[image]; j++)
        memcpy(rows + j * N, rows, N);
    return 0;
}

int find_near_points(near_points *points, int64_t num_threads)
{
    return for_each_image(
        points->num_images, num_threads, find_near_of_image, points
    );
}

typedef struct {
    int64_t num_images, num_preds, num_rows;
    const uint8_t *allowed;    /* (images, rows, predictions) */
    const uint8_t *gt_valid;   /* (images, rows) */
    const uint8_t *pred_valid; /* (images, predictions) */
    float *cost;               /* (images, rows, predictions) */
    int64_t cost_image_stride;
    int64_t *num_candidates; /* (images, rows) */
} exclusion;

VECTORIZED static int64_t count_candidates(
    const uint8_t *restrict allowed, const uint8_t *restrict valid, int64_t N
)
{
    int64_t count = 0;
    for (int64_t i = 0; i < N; i++)
        count += allowed[i] & valid[i];
    return count;
}

VECTORIZED static void exclude(
    float *restrict cost, const uint8_t *restrict allowed,
    const uint8_t *restrict valid, int64_t N
)
{
    for (int64_t i = 0; i < N; i++)
        cost[i] = valid[i] & !allowed[i] ? INFINITY : cost[i];
}

static int exclude_of_image(void *arguments, int64_t image)
{
    const exclusion *p = arguments;
    int64_t N = p->num_preds;
    const uint8_t *valid = p->pred_valid + image * N;
    for (int64_t j = 0; j < p->num_rows; j++) {
        int64_t row = image * p->num_rows + j;
        const uint8_t *allowed = p->gt_valid[row] ? p->allowed + row * N
                                                  : valid;
        p->num_candidates[row] = count_candidates(allowed, valid, N);
        if (p->gt_valid[row] && p->num_candidates[row] > 0)
            exclude(p->cost + image * p->cost_image_stride + j * N, allowed,
                    valid, N);
    }
    return 0;
}

int exclude_pairs(exclusion *pairs, int64_t num_threads)
{
    return for_each_image(
        pairs->num_images, num_threads, exclude_of_image, pairs
    );
}
