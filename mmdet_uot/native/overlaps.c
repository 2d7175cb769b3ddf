/* The greatest IoUs of predictions and ground truths, without their matrix. */

#include "exact_products.h"

#include "box_overlaps.h"

#include <stdlib.h>

enum { MOST_ADDED = 256 };

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
    uint64_t *above; /* (images, rows, words) of greater IoU than a threshold */
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

/* Does what is asked for one ground truth; ``counts`` may be NULL. */
static void look_at(
    const overlaps *p, const box_blocks *b, int64_t image, int64_t j,
    const uint64_t *counts, uint8_t *reach
)
{
    int64_t row = image * p->num_rows + j;
    const float *gt = p->gts + 4 * row;
    float iou[BLOCK], kept[MOST_ADDED];
    float gt_area = (gt[2] - gt[0]) * (gt[3] - gt[1]);
    float *last = kept + p->num_added - 1;
    memset(kept, 0, sizeof(float) * p->num_added);
    reach_blocks(b, gt, p->threshold, reach);
    for (int64_t block = 0; block < b->num_blocks; block++) {
        uint64_t use = counts ? counts[block] : UINT64_MAX;
        if (!reach[block] || !use
            || (p->sum && !reaches(b, block, gt, gt_area, *last)))
            continue;
        find_ious(b, block, gt, iou);
        if (p->above)
            p->above[row * p->num_words + block] = above(iou, p->threshold);
        uint64_t bits = p->sum ? above(iou, *last) & use : 0;
        for (; bits; bits &= bits - 1)
            keep(kept, p->num_added, iou[__builtin_ctzll(bits)]);
    }
    for (int64_t k = 0; p->sum && k < p->num_added; k++)
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
        look_at(p, &blocks, image, j, of_row, reach);
    }
    free(any);
    free(reach);
    return failed;
}

/* What is asked for begins at 0. Returns nonzero if there was no memory for it. */
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
