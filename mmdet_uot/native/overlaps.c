/* The greatest IoUs of predictions and ground truths, and whose they are, without
   their matrix. */

#include "exact_products.h"

#include "box_overlaps.h"
#include "found_pairs.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_ADDED = 256 };

/* What the greatest IoUs of a ground truth with anchors mostly exceed. */
static const float LIKELY = 0.5f;

typedef struct {
    int64_t num_images, num_preds, num_rows, num_words;
    const int64_t *num_gts; /* (images,) */
    blocked_boxes boxes;    /* of the predictions */
    const float *gts;       /* (images, rows, 4) */
    const uint64_t *counts; /* (images, rows, words) pairs that count, or NULL */
    int64_t of_any; /* whether a pair counts that does with another row */
    float threshold;
    int64_t num_added;
    /* What is asked for, else NULL. */
    uint64_t *above; /* (images, rows, words) of greater IoU than a threshold,
                        but for the padding */
    float *sum;      /* (images, rows) of so many of the greatest */
} overlaps;

VECTORIZED static void find_ious(
    const box_blocks *b, int64_t block, const float *gt, float *iou
)
{
    block_overlaps(b, block, gt, iou);
}

/* Which are above a value. */
VECTORIZED static uint64_t above(const float *restrict iou, float value)
{
    uint8_t flags[BLOCK];
    for (int i = 0; i < BLOCK; i++)
        flags[i] = iou[i] > value;
    return to_bits(flags);
}

/* Keeps the greatest values, the greatest first. */
static void keep(float *kept, int64_t size, float value)
{
    int64_t k = size - 1;
    if (!(value > kept[k]))
        return;
    for (; k > 0 && kept[k - 1] < value; k--)
        kept[k] = kept[k - 1];
    kept[k] = value;
}

static void mark_above(
    const overlaps *p, const box_blocks *b, int64_t row, uint8_t *reach
)
{
    const float *gt = p->gts + 4 * row;
    uint64_t *words = p->above + row * p->num_words;
    float iou[BLOCK];
    reach_blocks(b, gt, p->threshold, reach);
    for (int64_t block = 0; block < b->num_blocks; block++) {
        words[block] = 0;
        if (!reach[block])
            continue;
        find_ious(b, block, gt, iou);
        words[block] = above(iou, p->threshold);
    }
}

/* Adds up the greatest of those that count, all if ``counts`` is NULL. Blocks that
   are likely to hold them are looked at first, so that few others have to be. */
static void add_greatest(
    const overlaps *p, const box_blocks *b, int64_t row,
    const uint64_t *counts, uint8_t *reach
)
{
    const float *gt = p->gts + 4 * row;
    float iou[BLOCK], kept[MOST_ADDED];
    float gt_area = (gt[2] - gt[0]) * (gt[3] - gt[1]);
    float *last = kept + p->num_added - 1;
    memset(kept, 0, sizeof(float) * p->num_added);
    for (int are_others = 0; are_others < 2; are_others++) {
        float least = are_others ? smaller(*last, LIKELY) : LIKELY;
        reach_blocks(b, gt, least, reach);
        for (int64_t block = 0; block < b->num_blocks; block++) {
            uint64_t use = counts ? counts[block] : UINT64_MAX;
            if (!reach[block] || !use || !reaches(b, block, gt, gt_area, *last)
                || (are_others && reaches(b, block, gt, gt_area, LIKELY)))
                continue;
            find_ious(b, block, gt, iou);
            for (uint64_t bits = above(iou, *last) & use; bits;
                 bits &= bits - 1)
                keep(kept, p->num_added, iou[__builtin_ctzll(bits)]);
        }
    }
    for (int64_t k = 0; k < p->num_added; k++)
        p->sum[row] += kept[k];
}

static int look_at_image(void *arguments, int64_t image)
{
    overlaps *p = arguments;
    int64_t words = p->num_words, first = image * p->num_rows;
    int64_t num_gts = p->num_gts[image];
    box_blocks blocks = blocks_of(&p->boxes, image);
    const uint64_t *counts = p->counts ? p->counts + first * words : NULL;
    uint8_t *reach = malloc(words);
    uint64_t *any = calloc(words, sizeof(uint64_t));
    int failed = !reach || !any;
    if (!failed && counts && p->of_any)
        for (int64_t k = 0; k < num_gts * words; k++)
            any[k % words] |= counts[k];
    for (int64_t j = 0; !failed && j < num_gts; j++) {
        const uint64_t *of_row = counts;
        if (counts)
            of_row = p->of_any ? any : counts + j * words;
        if (p->above)
            mark_above(p, &blocks, first + j, reach);
        if (p->sum)
            add_greatest(p, &blocks, first + j, of_row, reach);
    }
    free(any);
    free(reach);
    return failed;
}

/* The sum begins at 0. Returns nonzero if there was no memory for it. */
int find_overlaps(overlaps *p, int64_t num_threads)
{
    return for_each_image(p->num_images, num_threads, look_at_image, p);
}

typedef struct {
    int64_t num_images, num_preds, num_rows;
    const int64_t *num_gts; /* (images,) */
    blocked_boxes boxes;    /* of the predictions */
    const float *gts;       /* (images, rows, 4) */
    float low, high;
    int64_t keep_closest; /* whether a row's first of the greatest IoU is out */
    uint8_t *is_in;       /* (images, predictions) */
} overlap_band;

VECTORIZED static void raise_to(
    float *restrict greatest, const float *restrict iou
)
{
    for (int i = 0; i < BLOCK; i++)
        greatest[i] = bigger(greatest[i], iou[i]);
}

VECTORIZED static void mark_band(
    const float *restrict greatest, float low, float high,
    uint8_t *restrict is_in, int64_t length
)
{
    for (int64_t i = 0; i < length; i++)
        is_in[i] = (greatest[i] >= low) & (greatest[i] < high);
}

VECTORIZED static void join(
    uint8_t *restrict any, const uint8_t *restrict reach, int64_t size
)
{
    for (int64_t k = 0; k < size; k++)
        any[k] |= reach[k];
}

/* Whose greatest IoU lies in the band. */
static int find_band_of_image(void *arguments, int64_t image)
{
    const overlap_band *p = arguments;
    int64_t N = p->num_preds, num_gts = p->num_gts[image];
    const float *gts = p->gts + 4 * image * p->num_rows;
    uint8_t *is_in = p->is_in + image * N;
    box_blocks b = blocks_of(&p->boxes, image);
    int64_t num = b.num_blocks;
    memset(is_in, 0, N);
    if (num_gts == 0)
        return 0;
    uint8_t *reach = malloc(num * num_gts), *any = calloc(num, 1);
    int64_t *closest = calloc(num_gts, sizeof(int64_t));
    float *best = calloc(num_gts, sizeof(float));
    int failed = !reach || !any || !closest || !best;
    for (int64_t j = 0; !failed && j < num_gts; j++) {
        reach_blocks(&b, gts + 4 * j, 0.0f, reach + j * num);
        join(any, reach + j * num, num);
    }
    for (int64_t block = 0; !failed && block < num; block++) {
        int64_t start = BLOCK * block;
        float iou[BLOCK], greatest[BLOCK] = {0};
        /* Who overlaps with nothing is in a band from 0 on. */
        if (!any[block] && p->low > 0.0f)
            continue;
        for (int64_t j = 0; j < num_gts; j++) {
            if (!reach[j * num + block])
                continue;
            find_ious(&b, block, gts + 4 * j, iou);
            raise_to(greatest, iou);
            uint64_t bits = p->keep_closest ? above(iou, best[j]) : 0;
            for (; bits; bits &= bits - 1) {
                int i = __builtin_ctzll(bits);
                closest[j] = iou[i] > best[j] ? start + i : closest[j];
                best[j] = bigger(best[j], iou[i]);
            }
        }
        mark_band(greatest, p->low, p->high, is_in + start,
                  N - start < BLOCK ? N - start : BLOCK);
    }
    for (int64_t j = 0; !failed && p->keep_closest && j < num_gts; j++)
        is_in[closest[j]] = 0;
    free(best);
    free(closest);
    free(any);
    free(reach);
    return failed;
}

/* Returns nonzero if there was no memory for it. */
int find_band(overlap_band *band, int64_t num_threads)
{
    return for_each_image(
        band->num_images, num_threads, find_band_of_image, band
    );
}

/* The closest ground truth of each prediction, by the costs weight (1 - IoU). */
typedef struct {
    int64_t num_images, num_preds, num_rows;
    const int64_t *num_gts; /* (images,) */
    blocked_boxes boxes;    /* of the predictions */
    const float *gts;       /* (images, rows, 4) */
    float weight;
    const float *background; /* (images, predictions) costs below the weight */
    int64_t background_image_stride;
    float most_background;
    const uint8_t *gt_valid;   /* (images, rows) */
    const uint8_t *pred_valid; /* (images, predictions) */
    const uint64_t *allowed;   /* (images, rows, words) pairs, or NULL for all */
    int64_t forced;     /* whether a row first takes its closest prediction */
    int64_t *num_pairs; /* (images,), of zeros */
    void **found;       /* (images,) of ``found_pair``, NULL before */
} closest_overlaps;

/* Those of an image. */
typedef struct {
    const closest_overlaps *p;
    box_blocks b;
    int64_t num_gts;
    const float *gts;
    const uint8_t *gt_valid;
    const uint64_t *allowed;
    uint8_t *reach;    /* (rows, blocks) */
    uint8_t *any;      /* (blocks,) whether any row reaches it */
    uint64_t *live;    /* (words,) predictions that take part */
    uint64_t *taken;   /* (words,) predictions with a ground truth */
    int32_t *row;      /* (predictions,) which, where there is one */
    float *best;       /* (rows,) the least cost */
    int64_t *closest;  /* (rows,) whose it is, or -1 */
    int64_t *position; /* (rows + 1,) of its pairs among those of the image */
} closest_image;

/* Costs of a block, infinite where they are not in use. */
VECTORIZED static void find_costs(
    const box_blocks *b, int64_t block, const float *gt, float weight,
    uint64_t use, float *restrict cost
)
{
    block_overlaps(b, block, gt, cost);
    for (int i = 0; i < BLOCK; i++)
        cost[i] = weight - weight * cost[i];
    for (int i = 0; use != UINT64_MAX && i < BLOCK; i++)
        cost[i] = use >> i & 1 ? cost[i] : INFINITY;
}

VECTORIZED static uint64_t below(const float *restrict cost, float value)
{
    uint8_t flags[BLOCK];
    for (int i = 0; i < BLOCK; i++)
        flags[i] = cost[i] < value;
    return to_bits(flags);
}

VECTORIZED static uint64_t at_most(
    const float *restrict cost, const float *restrict most, int64_t length
)
{
    uint8_t flags[BLOCK] = {0};
    for (int64_t i = 0; i < length; i++)
        flags[i] = cost[i] <= most[i];
    return to_bits(flags);
}

VECTORIZED static void lower_to(
    float *restrict least, int32_t *restrict row, const float *restrict cost,
    int32_t j
)
{
    for (int i = 0; i < BLOCK; i++) {
        row[i] = cost[i] < least[i] ? j : row[i];
        least[i] = smaller(least[i], cost[i]);
    }
}

/* An IoU that all pairs below or at a cost exceed, whatever is rounded. */
static float overlap_of(float cost, float weight)
{
    return 1.0f - cost / weight - 1e-6f;
}

static uint64_t in_use(const closest_image *im, int64_t j, int64_t block)
{
    int64_t words = im->b.num_blocks;
    uint64_t allowed = im->allowed ? im->allowed[j * words + block]
                                   : UINT64_MAX;
    return allowed & im->live[block];
}

/* Who might be the closest without overlap: the first that takes part. */
static int64_t first_in_use(const closest_image *im, int64_t j)
{
    for (int64_t block = 0; block < im->b.num_blocks; block++) {
        uint64_t use = in_use(im, j, block);
        if (use)
            return BLOCK * block + __builtin_ctzll(use);
    }
    return -1;
}

static void match_block(
    closest_image *im, int64_t block, const float *background
)
{
    const closest_overlaps *p = im->p;
    const box_blocks *b = &im->b;
    int64_t start = BLOCK * block, left = p->num_preds - start;
    float least_overlap = overlap_of(p->most_background, p->weight);
    float cost[BLOCK], least[BLOCK];
    int32_t row[BLOCK] = {0};
    for (int i = 0; i < BLOCK; i++)
        least[i] = INFINITY;
    for (int64_t j = 0; j < im->num_gts; j++) {
        if (!im->reach[j * b->num_blocks + block])
            continue;
        const float *gt = im->gts + 4 * j;
        float gt_area = (gt[2] - gt[0]) * (gt[3] - gt[1]);
        float of_best = overlap_of(im->best[j], p->weight);
        uint64_t use = in_use(im, j, block);
        if (!use
            || (p->forced && !reaches(b, block, gt, gt_area,
                                      smaller(of_best, least_overlap))))
            continue;
        find_costs(b, block, gt, p->weight, use, cost);
        lower_to(least, row, cost, (int32_t)j);
        uint64_t bits = p->forced ? below(cost, im->best[j]) : 0;
        for (; bits; bits &= bits - 1) {
            int i = __builtin_ctzll(bits);
            if (cost[i] < im->best[j])
                im->closest[j] = start + i;
            im->best[j] = smaller(im->best[j], cost[i]);
        }
    }
    uint64_t bits = at_most(least, background + start,
                            left < BLOCK ? left : BLOCK);
    im->taken[block] = bits;
    for (; bits; bits &= bits - 1) {
        int i = __builtin_ctzll(bits);
        im->row[start + i] = row[i];
    }
}

/* The pairs, sorted; NULL if there is no memory for them. */
static found_pair *sort_pairs(const closest_image *im, int64_t *count)
{
    int64_t *position = im->position, words = im->b.num_blocks;
    for (int64_t k = 0; k < words; k++)
        for (uint64_t bits = im->taken[k]; bits; bits &= bits - 1)
            position[im->row[BLOCK * k + __builtin_ctzll(bits)] + 1]++;
    for (int64_t j = 0; j < im->num_gts; j++)
        position[j + 1] += position[j];
    *count = position[im->num_gts];
    found_pair *found = malloc(sizeof(found_pair) * (*count + 1));
    for (int64_t k = 0; found && k < words; k++)
        for (uint64_t bits = im->taken[k]; bits; bits &= bits - 1) {
            int32_t i = (int32_t)(BLOCK * k + __builtin_ctzll(bits));
            int32_t j = im->row[i];
            found[position[j]++] = (found_pair){j, i, 1.0f};
        }
    return found;
}

static void match_image(closest_image *im, int64_t image)
{
    const closest_overlaps *p = im->p;
    int64_t num = im->b.num_blocks;
    const float *background = p->background
                              + image * p->background_image_stride;
    float least = p->forced ? 0.0f
                            : overlap_of(p->most_background, p->weight);
    to_words(p->pred_valid + image * p->num_preds, p->num_preds, im->live);
    for (int64_t j = 0; j < im->num_gts; j++) {
        if (!im->gt_valid[j])
            continue;
        reach_blocks(&im->b, im->gts + 4 * j, least, im->reach + j * num);
        join(im->any, im->reach + j * num, num);
        im->best[j] = p->weight;
        im->closest[j] = p->forced ? first_in_use(im, j) : -1;
    }
    for (int64_t block = 0; block < num; block++)
        if (im->any[block])
            match_block(im, block, background);
    for (int64_t j = 0; j < im->num_gts; j++) {
        int64_t i = im->gt_valid[j] ? im->closest[j] : -1;
        if (i < 0)
            continue;
        im->taken[i / BLOCK] |= 1ull << i % BLOCK;
        im->row[i] = (int32_t)j;
    }
}

static int find_closest_of_image(void *arguments, int64_t image)
{
    const closest_overlaps *p = arguments;
    int64_t first = image * p->num_rows, M = p->num_gts[image];
    closest_image im = {
        .p = p,
        .b = blocks_of(&p->boxes, image),
        .num_gts = M,
        .gts = p->gts + 4 * first,
        .gt_valid = p->gt_valid + first
    };
    int64_t num = im.b.num_blocks;
    if (M == 0)
        return 0;
    im.allowed = p->allowed ? p->allowed + first * num : NULL;
    im.reach = calloc(num * M, 1);
    im.any = calloc(num, 1);
    im.live = malloc(sizeof(uint64_t) * num);
    im.taken = calloc(num, sizeof(uint64_t));
    im.row = malloc(sizeof(int32_t) * p->num_preds);
    im.best = malloc(sizeof(float) * M);
    im.closest = malloc(sizeof(int64_t) * M);
    im.position = calloc(M + 1, sizeof(int64_t));
    if (im.reach && im.any && im.live && im.taken && im.row && im.best
        && im.closest && im.position) {
        match_image(&im, image);
        p->found[image] = sort_pairs(&im, p->num_pairs + image);
    }
    free(im.position);
    free(im.closest);
    free(im.best);
    free(im.row);
    free(im.taken);
    free(im.live);
    free(im.any);
    free(im.reach);
    return !p->found[image];
}

/* Returns nonzero if there was no memory for it. What was found is to be
   collected in any case. */
int find_closest(closest_overlaps *p, int64_t num_threads)
{
    return for_each_image(
        p->num_images, num_threads, find_closest_of_image, p
    );
}
