/* Which predictions overlap a ground truth enough for a pair. */

#ifndef MMDET_UOT_SPARSE_BOXES_H
#define MMDET_UOT_SPARSE_BOXES_H

#include "box_overlaps.h"

#include <math.h>

/* Costs 1 - IoU of a block; returns how many are below a threshold plus base. */
VECTORIZED static int32_t block_costs(
    const box_blocks *b, int64_t block, const float *gt,
    const float *restrict base, float threshold, float *restrict cost
)
{
    int32_t below = 0;
    base += BLOCK * block;
    block_overlaps(b, block, gt, cost);
    for (int i = 0; i < BLOCK; i++) {
        cost[i] = 1.0f - cost[i];
        below += cost[i] - base[i] < threshold;
    }
    return below;
}

/* Appends the predictions of d = 1 - IoU - base below a threshold, of those that
   are allowed where that is not NULL; returns the least d, INFINITY if there are
   none, -INFINITY beyond the capacity. */
static float scan_boxes(
    const box_blocks *b, const float *gt, const uint64_t *allowed,
    const float *base, float most_base, float threshold, uint8_t *reach,
    int32_t *found, float *costs, int64_t capacity, int64_t *count
)
{
    float lowest = INFINITY, cost[BLOCK];
    int64_t n = *count;
    reach_blocks(b, gt, 1.0f - threshold - most_base, reach);
    for (int64_t block = 0; block < b->num_blocks; block++) {
        uint64_t use = allowed ? allowed[block] : UINT64_MAX;
        if (!reach[block] || !use
            || !block_costs(b, block, gt, base, threshold, cost))
            continue;
        if (n + BLOCK > capacity)
            return -INFINITY;
        for (int i = 0; i < BLOCK; i++) {
            float d = cost[i] - base[BLOCK * block + i];
            d = use >> i & 1 ? d : INFINITY;
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
