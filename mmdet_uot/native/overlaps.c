/* The greatest IoUs of predictions and ground truths, without their matrix. */

#include "exact_products.h"

#include "box_blocks.h"

enum { MOST_ADDED = 256 };

typedef struct {
    int64_t num_images, num_preds, num_rows, num_words;
    const int64_t *num_gts; /* (images,) */
    const float *boxes;     /* (images, predictions, 4); may repeat one image */
    int64_t box_image_stride;
    const float *gts;       /* (images, rows, 4) */
    const uint64_t *counts; /* (images, rows, words) pairs that count, or NULL */
    int64_t of_any; /* whether a pair counts that does with another row */
    float threshold;
    int64_t num_added;
    /* What is asked for, the sum by itself; else NULL. */
    uint64_t *above; /* (images, rows, words) of greater IoU than a threshold */
    float *sum;      /* (images, rows) of so many of the greatest */
    float *greatest; /* (images, predictions) */
    int64_t *closest; /* (images, rows) the first prediction of greatest IoU */
    int32_t unsuited; /* whether a box is no good */
    box_blocks blocks; /* of boxes that are repeated */
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

VECTORIZED static void raise_to(
    float *restrict greatest, const float *restrict iou, int64_t length
)
{
    for (int64_t i = 0; i < length; i++)
        greatest[i] = bigger(greatest[i], iou[i]);
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
    int64_t row = image * p->num_rows + j, N = p->num_preds;
    const float *gt = p->gts + 4 * row;
    float iou[BLOCK], best = 0.0f, kept[MOST_ADDED];
    float gt_area = (gt[2] - gt[0]) * (gt[3] - gt[1]);
    float *last = kept + p->num_added - 1;
    memset(kept, 0, sizeof(float) * p->num_added);
    reach_blocks(b, gt, p->threshold, reach);
    for (int64_t block = 0; block < b->num_blocks; block++) {
        int64_t start = BLOCK * block;
        int64_t length = N - start < BLOCK ? N - start : BLOCK;
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
        if (p->greatest)
            raise_to(p->greatest + image * N + start, iou, length);
        bits = p->closest ? above(iou, best) : 0;
        for (; bits; bits &= bits - 1) {
            int i = __builtin_ctzll(bits);
            p->closest[row] = iou[i] > best ? start + i : p->closest[row];
            best = bigger(best, iou[i]);
        }
    }
    for (int64_t k = 0; p->sum && k < p->num_added; k++)
        p->sum[row] += kept[k];
}

static int look_at_image(void *arguments, int64_t image)
{
    overlaps *p = arguments;
    int64_t words = p->num_words, first = image * p->num_rows;
    int64_t num_gts = p->num_gts[image];
    box_blocks blocks = p->blocks;
    const uint64_t *counts = p->counts ? p->counts + first * words : NULL;
    float *own = NULL;
    int is_good = 1, failed = 0;
    uint8_t *reach = malloc(words + 1);
    uint64_t *any = calloc(words + 1, sizeof(uint64_t));
    if (p->box_image_stride) {
        own = make_blocks(&blocks, p->boxes + image * p->box_image_stride,
                          p->num_preds, &is_good);
        failed = !own;
    }
    failed |= !reach || !any;
    if (!is_good)
        __atomic_store_n(&p->unsuited, 1, __ATOMIC_RELAXED);
    if (!failed && counts && p->of_any)
        for (int64_t k = 0; k < num_gts * words; k++)
            any[k % words] |= counts[k];
    for (int64_t j = 0; !failed && is_good && j < num_gts; j++) {
        const uint64_t *of_row = counts;
        if (counts)
            of_row = p->of_any ? any : counts + j * words;
        look_at(p, &blocks, image, j, of_row, reach);
    }
    free(own);
    free(any);
    free(reach);
    return failed;
}

/* What is asked for begins at 0. Returns nonzero if there was no memory for it. */
int find_overlaps(overlaps *p, int64_t num_threads)
{
    float *blocks = NULL;
    int is_good = 1;
    if (!p->box_image_stride) {
        blocks = make_blocks(&p->blocks, p->boxes, p->num_preds, &is_good);
        if (!blocks)
            return 1;
    }
    p->unsuited = !is_good;
    int failed = is_good ? for_each_image(
        p->num_images, num_threads, look_at_image, p
    ) : 0;
    free(blocks);
    return failed;
}
