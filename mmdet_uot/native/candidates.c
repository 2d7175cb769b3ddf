/* Which pairs may be matched, and infinite costs for the others.

   Pairs are bits: words (images, rows, words), of which word k holds the
   predictions from 64 k on. Predictions of a word lie near each other where they
   are anchors in order, so that most words are out of reach as a whole. */

#include "box_blocks.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    int64_t num_images, num_rows, num_words;
    const int64_t *num_gts; /* (images,) */
    blocked_boxes areas;    /* of the predictions */
    const float *bounds;    /* (images, rows, 4) xyxy */
    int64_t of_any;         /* whether the bounds of another row do as well */
    uint64_t *is_near;      /* (images, rows, words), but for the padding */
} near_areas;

VECTORIZED static void reach_areas(
    const box_blocks *areas, const float *bounds, uint8_t *restrict reach
)
{
    box_blocks a = *areas;
    float left = bounds[0], top = bounds[1];
    float right = bounds[2], bottom = bounds[3];
    for (int64_t k = 0; k < a.num_blocks; k++)
        reach[k] = (left < a.right[k]) & (a.left[k] < right)
                   & (top < a.bottom[k]) & (a.top[k] < bottom);
}

/* Sets the bits of a row. */
VECTORIZED static void find_near(
    const box_blocks *areas, const uint8_t *reach, const float *bounds,
    uint64_t *restrict is_near
)
{
    float left = bounds[0], top = bounds[1];
    float right = bounds[2], bottom = bounds[3];
    for (int64_t word = 0; word < areas->num_blocks; word++) {
        is_near[word] = 0;
        if (!reach[word])
            continue;
        int64_t start = word * BLOCK;
        const float *restrict x1 = areas->x1 + start;
        const float *restrict y1 = areas->y1 + start;
        const float *restrict x2 = areas->x2 + start;
        const float *restrict y2 = areas->y2 + start;
        uint8_t near[BLOCK];
        for (int64_t i = 0; i < BLOCK; i++)
            near[i] = (left < x2[i]) & (x1[i] < right) & (top < y2[i])
                      & (y1[i] < bottom);
        is_near[word] = to_bits(near);
    }
}

static int find_near_of_image(void *arguments, int64_t image)
{
    const near_areas *p = arguments;
    int64_t words = p->num_words, num_gts = p->num_gts[image];
    uint64_t *rows = p->is_near + image * p->num_rows * words;
    box_blocks areas = blocks_of(&p->areas, image);
    uint8_t *reach = malloc(words);
    if (!reach)
        return 1;
    for (int64_t j = 0; j < num_gts; j++) {
        const float *bounds = p->bounds + 4 * (image * p->num_rows + j);
        reach_areas(&areas, bounds, reach);
        find_near(&areas, reach, bounds, rows + j * words);
    }
    for (int64_t k = words; p->of_any && k < num_gts * words; k++)
        rows[k % words] |= rows[k];
    for (int64_t k = words; p->of_any && k < num_gts * words; k++)
        rows[k] = rows[k % words];
    free(reach);
    return 0;
}

/* Returns nonzero if there was no memory for it. */
int find_near_areas(near_areas *areas, int64_t num_threads)
{
    return for_each_image(
        areas->num_images, num_threads, find_near_of_image, areas
    );
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
    to_words(p->pred_valid + image * N, N, valid);
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
