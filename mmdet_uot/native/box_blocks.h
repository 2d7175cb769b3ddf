/* Boxes of predictions in blocks.

   Predictions are cut into blocks. Those of a block lie near each other where
   they are anchors in order, so that most blocks are out of reach as a whole. */

#ifndef MMDET_UOT_BOX_BLOCKS_H
#define MMDET_UOT_BOX_BLOCKS_H

#include "blocks.h"
#include "parallel.h"

/* Boxes (blocks, BLOCK), the last block filled with zeros, and what holds for all
   of a block (blocks,). */
typedef struct {
    int64_t num_blocks;
    float *x1, *y1, *x2, *y2, *area;
    float *left, *top, *right, *bottom, *least_area, *most_area;
} box_blocks;

/* The same of a batch, one image behind the other; a stride of 0 repeats one. */
typedef struct {
    float *floats;
    int64_t image_stride, num_blocks;
} blocked_boxes;

/* Those of an image. */
static inline box_blocks blocks_of(const blocked_boxes *boxes, int64_t image)
{
    int64_t num = boxes->num_blocks, size = num * BLOCK;
    float *of_boxes = boxes->floats + image * boxes->image_stride;
    float *of_blocks = of_boxes + 5 * size;
    return (box_blocks){
        .num_blocks = num,
        .x1 = of_boxes,
        .y1 = of_boxes + size,
        .x2 = of_boxes + 2 * size,
        .y2 = of_boxes + 3 * size,
        .area = of_boxes + 4 * size,
        .left = of_blocks,
        .top = of_blocks + num,
        .right = of_blocks + 2 * num,
        .bottom = of_blocks + 3 * num,
        .least_area = of_blocks + 4 * num,
        .most_area = of_blocks + 5 * num
    };
}

#endif
