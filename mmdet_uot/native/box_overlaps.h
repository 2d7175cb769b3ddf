/* Which blocks a ground truth may overlap, and by how much. */

#ifndef MMDET_UOT_BOX_OVERLAPS_H
#define MMDET_UOT_BOX_OVERLAPS_H

#include "box_blocks.h"
#include "overlap.h"

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
