/* Boxes of predictions in blocks, and which blocks a ground truth may overlap.

   Predictions are cut into blocks. Those of a block lie near each other where
   they are anchors in order, so that most blocks are out of reach as a whole. */

#ifndef MMDET_UOT_BOX_BLOCKS_H
#define MMDET_UOT_BOX_BLOCKS_H

#include "blocks.h"
#include "overlap.h"
#include "parallel.h"

#include <math.h>
#include <stdlib.h>

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

/* Whether a block may hold a box with an IoU above some value. */
static inline int reaches(
    const box_blocks *b, int64_t k, const float *gt, float gt_area, float least
)
{
    float width = smaller(b->right[k], gt[2]) - bigger(b->left[k], gt[0]);
    float height = smaller(b->bottom[k], gt[3]) - bigger(b->top[k], gt[1]);
    float both = bigger(width, 0.0f) * bigger(height, 0.0f);
    both = smaller(both, smaller(b->most_area[k], gt_area));
    float either = bigger(bigger(b->least_area[k], gt_area), LEAST_AREA);
    return (both > 0.0f) & (both * 1.0001f > least * either);
}

/* Which blocks may hold a box with an IoU above some value. */
VECTORIZED static void reach_blocks(
    const box_blocks *b, const float *gt, float least, uint8_t *restrict reach
)
{
    box_blocks blocks = *b;
    float box[4] = {gt[0], gt[1], gt[2], gt[3]};
    float gt_area = (gt[2] - gt[0]) * (gt[3] - gt[1]);
    for (int64_t k = 0; k < blocks.num_blocks; k++)
        reach[k] = (uint8_t)reaches(&blocks, k, box, gt_area, least);
}

/* IoUs of a block. */
static inline void block_overlaps(
    const box_blocks *b, int64_t block, const float *gt, float *restrict iou
)
{
    int64_t start = BLOCK * block;
    const float *restrict x1 = b->x1 + start, *restrict y1 = b->y1 + start;
    const float *restrict x2 = b->x2 + start, *restrict y2 = b->y2 + start;
    const float *restrict area = b->area + start;
    float gt_area = (gt[2] - gt[0]) * (gt[3] - gt[1]);
    float box[4] = {gt[0], gt[1], gt[2], gt[3]};
    for (int i = 0; i < BLOCK; i++)
        iou[i] = overlap(IOU, x1[i], y1[i], x2[i], y2[i], area[i], box,
                         gt_area);
}

#endif
