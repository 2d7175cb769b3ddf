/* What two boxes have in common, as mmdet's bbox_overlaps. */

#ifndef MMDET_UOT_OVERLAP_H
#define MMDET_UOT_OVERLAP_H

static const float LEAST_AREA = 1e-6f;

enum box_kind { L1_CORNERS = 0, L1_CENTERS = 1, IOU = 2, GIOU = 3 };

static inline float bigger(float a, float b)
{
    return a < b ? b : a;
}

static inline float smaller(float a, float b)
{
    return a > b ? b : a;
}

static inline float overlap(
    enum box_kind kind, float x1, float y1, float x2, float y2, float area,
    const float *gt, float gt_area
)
{
    float width = bigger(smaller(x2, gt[2]) - bigger(x1, gt[0]), 0.0f);
    float height = bigger(smaller(y2, gt[3]) - bigger(y1, gt[1]), 0.0f);
    float both = width * height;
    float either = bigger(area + gt_area - both, LEAST_AREA);
    float iou = both / either;
    if (kind == IOU)
        return iou;
    width = bigger(bigger(x2, gt[2]) - smaller(x1, gt[0]), 0.0f);
    height = bigger(bigger(y2, gt[3]) - smaller(y1, gt[1]), 0.0f);
    float around = bigger(width * height, LEAST_AREA);
    return iou - (around - either) / around;
}

#endif
