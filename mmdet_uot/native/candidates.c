/* Which pairs may be matched, and infinite costs for the others.

   Pairs are bits: words (images, rows, words), of which word k holds the
   predictions from 64 k on. Predictions of a word lie near each other where they
   are anchors in order, so that most words are out of reach as a whole. */

#include "blocks.h"
#include "parallel.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    int64_t num_images, num_preds, num_rows, num_words;
    const int64_t *num_gts; /* (images,) */
    const float *points;    /* (images, predictions, 4) x, y and how far they
                               reach; may repeat one image */
    int64_t point_image_stride;
    const float *bounds; /* (images, rows, 4) xyxy */
    int64_t of_any;      /* whether the bounds of another row do as well */
    uint64_t *is_near;   /* (images, rows, words) */
    float *areas;        /* of an image that is repeated */
} near_points;

/* Where an area begins and ends: of each prediction, then of all of a word. */
enum { LEFT, TOP, RIGHT, BOTTOM, EDGES };

/* The edges (EDGES, words, BLOCK), and the outermost of each word (EDGES, words);
   NULL if there is no memory for them. */
static float *make_areas(const near_points *p, const float *points)
{
    int64_t words = p->num_words, size = words * BLOCK;
    float *edges = malloc(sizeof(float) * EDGES * (size + words + 1));
    if (!edges)
        return NULL;
    float *outermost = edges + EDGES * size;
    for (int64_t i = 0; i < size; i++) {
        const float *at = points + 4 * i;
        int64_t word = i / BLOCK, is_first = i % BLOCK == 0;
        for (int k = 0; k < EDGES; k++) {
            float sign = k < RIGHT ? -1.0f : 1.0f;
            float edge = i < p->num_preds ? at[k % 2] + sign * at[2 + k % 2]
                                          : -sign * INFINITY;
            float *most = outermost + k * words + word;
            edges[k * size + i] = edge;
            if (is_first || (k < RIGHT ? edge < *most : edge > *most)
                || *most != *most)
                *most = edge;
        }
    }
    return edges;
}

/* Sets the bits of a row. */
VECTORIZED static void find_near(
    int64_t words, const float *restrict areas, const float *bounds,
    uint64_t *restrict is_near
)
{
    int64_t size = words * BLOCK;
    const float *outermost = areas + EDGES * size;
    float left = bounds[0], top = bounds[1];
    float right = bounds[2], bottom = bounds[3];
    for (int64_t word = 0; word < words; word++) {
        uint8_t near[BLOCK];
        is_near[word] = 0;
        if (!(left < outermost[RIGHT * words + word]
              && outermost[LEFT * words + word] < right
              && top < outermost[BOTTOM * words + word]
              && outermost[TOP * words + word] < bottom))
            continue;
        const float *restrict a = areas + word * BLOCK;
        for (int64_t i = 0; i < BLOCK; i++)
            near[i] = (left < a[RIGHT * size + i]) & (a[i] < right)
                      & (top < a[BOTTOM * size + i])
                      & (a[TOP * size + i] < bottom);
        is_near[word] = to_bits(near);
    }
}

static int find_near_of_image(void *arguments, int64_t image)
{
    const near_points *p = arguments;
    int64_t words = p->num_words, num_gts = p->num_gts[image];
    uint64_t *rows = p->is_near + image * p->num_rows * words;
    const float *points = p->points + image * p->point_image_stride;
    float *areas = p->areas ? p->areas : make_areas(p, points);
    if (!areas)
        return 1;
    if (p->num_rows > num_gts)
        memset(rows + num_gts * words, 0,
               sizeof(uint64_t) * (p->num_rows - num_gts) * words);
    for (int64_t j = 0; j < num_gts; j++)
        find_near(words, areas,
                  p->bounds + 4 * (image * p->num_rows + j),
                  rows + j * words);
    for (int64_t k = words; p->of_any && k < num_gts * words; k++)
        rows[k % words] |= rows[k];
    for (int64_t k = words; p->of_any && k < num_gts * words; k++)
        rows[k] = rows[k % words];
    if (!p->areas)
        free(areas);
    return 0;
}

/* Returns nonzero if there was no memory for it. */
int find_near_points(near_points *points, int64_t num_threads)
{
    if (points->point_image_stride == 0) {
        points->areas = make_areas(points, points->points);
        if (!points->areas)
            return 1;
    }
    int failed = for_each_image(
        points->num_images, num_threads, find_near_of_image, points
    );
    free(points->areas);
    return failed;
}

typedef struct {
    int64_t num_images, num_preds, num_rows, num_words;
    const uint64_t *allowed;   /* (images, rows, words) */
    const uint8_t *gt_valid;   /* (images, rows) */
    const uint8_t *pred_valid; /* (images, predictions) */
    float *cost;               /* (images, rows, predictions), or NULL */
    int64_t cost_image_stride;
    int64_t *num_candidates; /* (images, rows) */
} exclusion;

VECTORIZED static int64_t count_candidates(
    const uint64_t *restrict allowed, const uint64_t *restrict valid,
    int64_t words
)
{
    int64_t count = 0;
    for (int64_t k = 0; k < words; k++)
        count += __builtin_popcountll(allowed[k] & valid[k]);
    return count;
}

VECTORIZED static void exclude(
    float *restrict cost, const uint64_t *allowed, const uint64_t *valid,
    int64_t N
)
{
    for (int64_t start = 0; start < N; start += BLOCK) {
        uint64_t out = valid[start / BLOCK] & ~allowed[start / BLOCK];
        int64_t length = N - start < BLOCK ? N - start : BLOCK;
        for (int64_t i = 0; out && i < length; i++)
            cost[start + i] = out >> i & 1 ? INFINITY : cost[start + i];
    }
}

static int exclude_of_image(void *arguments, int64_t image)
{
    const exclusion *p = arguments;
    int64_t N = p->num_preds, words = p->num_words;
    uint64_t *valid = malloc(sizeof(uint64_t) * (words + 1));
    if (!valid)
        return 1;
    for (int64_t k = 0; k < words; k++) {
        int64_t left = N - k * BLOCK;
        uint8_t flags[BLOCK] = {0};
        memcpy(flags, p->pred_valid + image * N + k * BLOCK,
               left < BLOCK ? left : BLOCK);
        valid[k] = to_bits(flags);
    }
    for (int64_t j = 0; j < p->num_rows; j++) {
        int64_t row = image * p->num_rows + j;
        const uint64_t *allowed = p->gt_valid[row] ? p->allowed + row * words
                                                   : valid;
        p->num_candidates[row] = count_candidates(allowed, valid, words);
        if (p->cost && p->gt_valid[row] && p->num_candidates[row] > 0)
            exclude(p->cost + image * p->cost_image_stride + j * N, allowed,
                    valid, N);
    }
    free(valid);
    return 0;
}

/* Returns nonzero if there was no memory for it. */
int exclude_pairs(exclusion *pairs, int64_t num_threads)
{
    return for_each_image(
        pairs->num_images, num_threads, exclude_of_image, pairs
    );
}
