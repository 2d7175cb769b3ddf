/* Cuts boxes into blocks. */

#include "box_blocks.h"
#include "overlap.h"

#include <math.h>

/* Blocks that a thread takes at a time. */
enum { AT_ONCE = 128, LANES_OF_EXTREMES = 16 };

typedef struct {
    int64_t num_images, num_preds;
    const float *boxes; /* (images, predictions, 4) xyxy */
    int64_t box_image_stride;
    blocked_boxes to;
    int32_t is_bad; /* whether a box is no good */
} box_cut;

/* The least and the greatest of the first numbers of a block. */
static inline float least_of(const float *restrict x, int64_t length)
{
    float low[LANES_OF_EXTREMES];
    for (int k = 0; k < LANES_OF_EXTREMES; k++)
        low[k] = INFINITY;
    int64_t i = 0;
    for (; i + LANES_OF_EXTREMES <= length; i += LANES_OF_EXTREMES)
        for (int k = 0; k < LANES_OF_EXTREMES; k++)
            low[k] = smaller(low[k], x[i + k]);
    for (; i < length; i++)
        low[0] = smaller(low[0], x[i]);
    for (int k = 1; k < LANES_OF_EXTREMES; k++)
        low[0] = smaller(low[0], low[k]);
    return low[0];
}

static inline float most_of(const float *restrict x, int64_t length)
{
    float high[LANES_OF_EXTREMES];
    for (int k = 0; k < LANES_OF_EXTREMES; k++)
        high[k] = -INFINITY;
    int64_t i = 0;
    for (; i + LANES_OF_EXTREMES <= length; i += LANES_OF_EXTREMES)
        for (int k = 0; k < LANES_OF_EXTREMES; k++)
            high[k] = bigger(high[k], x[i + k]);
    for (; i < length; i++)
        high[0] = bigger(high[0], x[i]);
    for (int k = 1; k < LANES_OF_EXTREMES; k++)
        high[0] = bigger(high[0], high[k]);
    return high[0];
}

/* Fills a block from its boxes; returns how many have no finite area. */
VECTORIZED static int32_t fill_block(
    const box_blocks *to, int64_t block, const float *restrict boxes,
    int64_t length
)
{
    int64_t start = BLOCK * block;
    float *restrict x1 = to->x1 + start, *restrict y1 = to->y1 + start;
    float *restrict x2 = to->x2 + start, *restrict y2 = to->y2 + start;
    float *restrict area = to->area + start;
    int32_t bad = 0;
    for (int64_t i = 0; i < length; i++) {
        x1[i] = boxes[4 * i];
        y1[i] = boxes[4 * i + 1];
        x2[i] = boxes[4 * i + 2];
        y2[i] = boxes[4 * i + 3];
    }
    for (int64_t i = length; i < BLOCK; i++)
        x1[i] = y1[i] = x2[i] = y2[i] = 0.0f;
    for (int64_t i = 0; i < BLOCK; i++) {
        area[i] = (x2[i] - x1[i]) * (y2[i] - y1[i]);
        bad += !(fabsf(area[i]) < INFINITY);
    }
    to->left[block] = least_of(x1, length);
    to->top[block] = least_of(y1, length);
    to->right[block] = most_of(x2, length);
    to->bottom[block] = most_of(y2, length);
    to->least_area[block] = least_of(area, length);
    to->most_area[block] = bigger(most_of(area, length), 0.0f);
    return bad;
}

static int64_t num_parts(const box_cut *cut)
{
    return (cut->to.num_blocks + AT_ONCE - 1) / AT_ONCE;
}

static int fill_part(void *arguments, int64_t index)
{
    box_cut *cut = arguments;
    int64_t image = index / num_parts(cut);
    int64_t first = index % num_parts(cut) * AT_ONCE;
    box_blocks to = blocks_of(&cut->to, image);
    const float *boxes = cut->boxes + image * cut->box_image_stride;
    int32_t bad = 0;
    for (int64_t k = first; k < first + AT_ONCE && k < to.num_blocks; k++) {
        int64_t left = cut->num_preds - BLOCK * k;
        bad += fill_block(&to, k, boxes + 4 * BLOCK * k,
                          left < BLOCK ? left : BLOCK);
    }
    if (bad)
        __atomic_store_n(&cut->is_bad, 1, __ATOMIC_RELAXED);
    return 0;
}

int cut_boxes(box_cut *cut, int64_t num_threads)
{
    cut->is_bad = 0;
    return for_each_image(
        cut->num_images * num_parts(cut), num_threads, fill_part, cut
    );
}
