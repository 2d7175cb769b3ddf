/* Which predictions overlap a ground truth by more than some share.

   Predictions are cut into blocks. Those of a block lie near each other where
   they are anchors in order, so that most blocks are out of reach as a whole. */

#ifndef MMDET_UOT_SPARSE_BOXES_H
#define MMDET_UOT_SPARSE_BOXES_H

#include "overlap.h"
#include "parallel.h"

#include <math.h>
#include <stdlib.h>

enum { BLOCK = 64 };

/* Boxes (blocks, BLOCK), and what holds for all of a block (blocks,). */
typedef struct {
    int64_t num_blocks;
    float *x1, *y1, *x2, *y2, *area;
    float *left, *top, *right, *bottom, *least_area, *most_area;
} box_blocks;

/* Fills the blocks, the last one with nothing. Returns 0 if a number is none. */
static int fill_blocks(box_blocks *to, const float *boxes, int64_t N)
{
    int64_t bad = 0;
    for (int64_t block = 0; block < to->num_blocks; block++) {
        float left = INFINITY, top = INFINITY, least = INFINITY;
        float right = -INFINITY, bottom = -INFINITY, most = 0.0f;
        for (int64_t i = BLOCK * block; i < BLOCK * (block + 1); i++) {
            static const float nothing[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            const float *box = i < N ? boxes + 4 * i : nothing;
            float area = (box[2] - box[0]) * (box[3] - box[1]);
            to->x1[i] = box[0];
            to->y1[i] = box[1];
            to->x2[i] = box[2];
            to->y2[i] = box[3];
            to->area[i] = area;
            if (i >= N)
                continue;
            bad += !(fabsf(area) < INFINITY);
            left = smaller(left, box[0]);
            top = smaller(top, box[1]);
            right = bigger(right, box[2]);
            bottom = bigger(bottom, box[3]);
            least = smaller(least, area);
            most = bigger(most, area);
        }
        to->left[block] = left;
        to->top[block] = top;
        to->right[block] = right;
        to->bottom[block] = bottom;
        to->least_area[block] = least;
        to->most_area[block] = most;
    }
    return bad == 0;
}

/* Makes the blocks of N boxes; returns their memory, NULL if there is none. */
static float *make_blocks(box_blocks *to, const float *boxes, int64_t N,
                          int *is_good)
{
    int64_t num = (N + BLOCK - 1) / BLOCK, size = num * BLOCK;
    float *memory = aligned_alloc(64, sizeof(float) * (5 * size + 6 * num)
                                          / 64 * 64 + 64);
    if (!memory)
        return NULL;
    float **own[] = {&to->x1, &to->y1, &to->x2, &to->y2, &to->area};
    float **common[] = {&to->left,   &to->top,        &to->right,
                        &to->bottom, &to->least_area, &to->most_area};
    for (int k = 0; k < 5; k++)
        *own[k] = memory + k * size;
    for (int k = 0; k < 6; k++)
        *common[k] = memory + 5 * size + k * num;
    to->num_blocks = num;
    *is_good = fill_blocks(to, boxes, N);
    return memory;
}

/* Which blocks may hold a box with an IoU above some value. */
VECTORIZED static void reach_blocks(
    const box_blocks *b, const float *gt, float least, uint8_t *restrict reach
)
{
    float x1 = gt[0], y1 = gt[1], x2 = gt[2], y2 = gt[3];
    float gt_area = (x2 - x1) * (y2 - y1);
    const float *restrict left = b->left, *restrict top = b->top;
    const float *restrict right = b->right, *restrict bottom = b->bottom;
    const float *restrict low = b->least_area, *restrict high = b->most_area;
    for (int64_t k = 0; k < b->num_blocks; k++) {
        float width = smaller(right[k], x2) - bigger(left[k], x1);
        float height = smaller(bottom[k], y2) - bigger(top[k], y1);
        float both = bigger(width, 0.0f) * bigger(height, 0.0f);
        both = smaller(both, smaller(high[k], gt_area));
        float either = bigger(bigger(low[k], gt_area), LEAST_AREA);
        reach[k] = (both > 0.0f) & (both * 1.0001f > least * either);
    }
}

/* Costs 1 - IoU of a block; returns how many are below a threshold plus base. */
VECTORIZED static int32_t block_costs(
    const box_blocks *b, int64_t block, const float *gt,
    const float *restrict base, float threshold, float *restrict cost
)
{
    int64_t start = BLOCK * block;
    const float *restrict x1 = b->x1 + start, *restrict y1 = b->y1 + start;
    const float *restrict x2 = b->x2 + start, *restrict y2 = b->y2 + start;
    const float *restrict area = b->area + start;
    float gt_area = (gt[2] - gt[0]) * (gt[3] - gt[1]);
    float box[4] = {gt[0], gt[1], gt[2], gt[3]};
    int32_t below = 0;
    for (int i = 0; i < BLOCK; i++) {
        float iou = overlap(IOU, x1[i], y1[i], x2[i], y2[i], area[i], box,
                            gt_area);
        cost[i] = 1.0f - iou;
        below += cost[i] - base[start + i] < threshold;
    }
    return below;
}

/* Appends the predictions of d = 1 - IoU - base below a threshold; returns the
   least d, INFINITY if there are none, -INFINITY beyond the capacity. */
static float scan_boxes(
    const box_blocks *b, const float *gt, const float *base, float most_base,
    float threshold, uint8_t *reach, int32_t *found, float *costs,
    int64_t capacity, int64_t *count
)
{
    float lowest = INFINITY, cost[BLOCK];
    int64_t n = *count;
    reach_blocks(b, gt, 1.0f - threshold - most_base, reach);
    for (int64_t block = 0; block < b->num_blocks; block++) {
        if (!reach[block]
            || !block_costs(b, block, gt, base, threshold, cost))
            continue;
        if (n + BLOCK > capacity)
            return -INFINITY;
        for (int i = 0; i < BLOCK; i++) {
            float d = cost[i] - base[BLOCK * block + i];
            found[n] = (int32_t)(BLOCK * block + i);
            costs[n] = cost[i];
            n += d < threshold;
            lowest = d < lowest ? d : lowest;
        }
    }
    *count = n;
    return lowest;
}

#endif
