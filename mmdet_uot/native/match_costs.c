/* Match costs of a batch of images, added to a matrix of costs, and their unit.

   Rows of the matrix are ground truths; costs are contiguous along the
   predictions. The padding is left alone. Comparisons are written so that NaN
   comes through to the cost, as in PyTorch. */

#include "exact_products.h"

#include "elementary.h"
#include "overlap.h"
#include "parallel.h"

#include <stdlib.h>

enum { TILE = 64 };

/* How a cost enters the matrix. */
typedef struct {
    int64_t num_images, num_preds;
    const int64_t *num_gts; /* (images,) */
    double weight, offset;  /* cost = offset + weight * value */
    double largest;         /* a greater magnitude is bad, like NaN */
    float *cost;            /* (images, ground truths, predictions) */
    int64_t cost_image_stride;
    uint8_t *is_bad; /* (images,) whether a cost that was added is bad */
} target;

typedef struct {
    target to;
    int64_t kind;
    const float *preds; /* (images, predictions, 4); may repeat one image */
    int64_t pred_image_stride;
    const float *gts; /* (images, ground truths, 4) */
    int64_t gt_image_stride;
    const float *image_size; /* (images, 4), for L1 */
} box_costs;

enum class_kind { SOFTMAX = 0, SIGMOID = 1, FOCAL = 2 };

typedef struct {
    target to;
    int64_t kind;
    const float *scores; /* (images, predictions, classes) logits; bad ones are
                            as good as NaN */
    int64_t score_image_stride, num_classes;
    const int64_t *labels; /* (images, ground truths) */
    int64_t label_image_stride;
    double alpha, eps; /* of the focal loss, gamma = 2 */
} class_costs;

/* Adds a cost; returns 1 if it is bad, else what was returned before. */
static inline float add(float *cost, float value, float largest, float bad)
{
    *cost += value;
    return fabsf(value) <= largest ? bad : 1.0f;
}

/* ---- boxes ---------------------------------------------------------------- */

/* Corners to centre and size, if asked for, relative to the image. */
static inline void normalize(
    int64_t centers, const float *size, float *a, float *b, float *c, float *d
)
{
    if (centers) {
        float x = (*a + *c) / 2.0f, y = (*b + *d) / 2.0f;
        *c -= *a;
        *d -= *b;
        *a = x;
        *b = y;
    }
    *a /= size[0];
    *b /= size[1];
    *c /= size[2];
    *d /= size[3];
}

static inline float distance(
    float a, float b, float c, float d, const float *gt
)
{
    return (fabsf(a - gt[0]) + fabsf(b - gt[1]))
           + (fabsf(c - gt[2]) + fabsf(d - gt[3]));
}

VECTORIZED static int add_box_costs(void *arguments, int64_t image)
{
    const box_costs *p = arguments;
    const target *to = &p->to;
    float weight = (float)to->weight, offset = (float)to->offset;
    float largest = (float)to->largest, bad[TILE] = {0};
    int64_t centers = p->kind == L1_CENTERS;
    int64_t is_l1 = centers || p->kind == L1_CORNERS;
    const float *size = p->image_size + 4 * image;
    const float *preds = p->preds + image * p->pred_image_stride;
    const float *gts = p->gts + image * p->gt_image_stride;
    for (int64_t start = 0; start < to->num_preds; start += TILE) {
        int64_t left = to->num_preds - start;
        int64_t length = left < TILE ? left : TILE;
        float a[TILE], b[TILE], c[TILE], d[TILE], area[TILE];
        for (int64_t i = 0; i < length; i++) {
            const float *box = preds + 4 * (start + i);
            a[i] = box[0];
            b[i] = box[1];
            c[i] = box[2];
            d[i] = box[3];
            area[i] = (c[i] - a[i]) * (d[i] - b[i]);
        }
        if (is_l1)
            for (int64_t i = 0; i < length; i++)
                normalize(centers, size, &a[i], &b[i], &c[i], &d[i]);
        for (int64_t j = 0; j < to->num_gts[image]; j++) {
            float gt[4], gt_area;
            float *restrict cost = to->cost + image * to->cost_image_stride
                                   + j * to->num_preds + start;
            memcpy(gt, gts + 4 * j, sizeof gt);
            gt_area = (gt[2] - gt[0]) * (gt[3] - gt[1]);
            if (is_l1)
                normalize(centers, size, &gt[0], &gt[1], &gt[2], &gt[3]);
            if (is_l1)
                for (int64_t i = 0; i < length; i++) {
                    float value = distance(a[i], b[i], c[i], d[i], gt);
                    bad[i] = add(&cost[i], offset + weight * value, largest,
                                 bad[i]);
                }
            else if (p->kind == IOU)
                for (int64_t i = 0; i < length; i++) {
                    float value = overlap(IOU, a[i], b[i], c[i], d[i],
                                          area[i], gt, gt_area);
                    bad[i] = add(&cost[i], offset + weight * value, largest,
                                 bad[i]);
                }
            else
                for (int64_t i = 0; i < length; i++) {
                    float value = overlap(GIOU, a[i], b[i], c[i], d[i],
                                          area[i], gt, gt_area);
                    bad[i] = add(&cost[i], offset + weight * value, largest,
                                 bad[i]);
                }
        }
    }
    for (int64_t i = 0; i < TILE; i++)
        to->is_bad[image] |= bad[i] > 0.0f;
    return 0;
}

/* ---- classes -------------------------------------------------------------- */

/* exp x, where a large magnitude of x stands for an infinite one. */
static inline float exp_bounded(float x)
{
    return exp_float(smaller(bigger(x, -87.0f), 87.0f));
}

static inline float focal(float p, float alpha, float eps)
{
    float positive = -log_float(p + eps) * alpha * (1.0f - p) * (1.0f - p);
    float negative = -log_float(1.0f - p + eps) * (1.0f - alpha) * p * p;
    return positive - negative;
}

/* NaN in place of a bad number. */
static inline float good(float x, float largest)
{
    return fabsf(x) <= largest ? x : NAN;
}

/* exp of the logits of some predictions, (classes, TILE), and its sums. */
static inline void softmax(
    const float *scores, int64_t length, int64_t num_classes, float largest,
    float *restrict terms, float *restrict sum
)
{
    float top[TILE];
    for (int64_t i = 0; i < length; i++) {
        top[i] = good(scores[i * num_classes], largest);
        sum[i] = 0.0f;
    }
    for (int64_t k = 0; k < num_classes; k++)
        for (int64_t i = 0; i < length; i++) {
            float x = good(scores[i * num_classes + k], largest);
            terms[k * TILE + i] = x;
            top[i] = bigger(top[i], x);
        }
    for (int64_t k = 0; k < num_classes; k++)
        for (int64_t i = 0; i < length; i++) {
            /* NaN, not -87, where a logit is infinite. */
            float x = terms[k * TILE + i] - top[i];
            x = x < -87.0f ? -87.0f : x;
            terms[k * TILE + i] = exp_float(x);
            sum[i] += terms[k * TILE + i];
        }
}

/* What the logits of some predictions cost, for each class of ``classes``:
   (classes, TILE). */
static inline void class_values(
    const class_costs *p, const float *scores, int64_t length,
    const int64_t *classes, int64_t num, float *restrict values
)
{
    float alpha = (float)p->alpha, eps = (float)p->eps;
    float largest = (float)p->to.largest;
    for (int64_t k = 0; k < num; k++) {
        const float *score = scores + classes[k];
        float *restrict value = values + k * TILE;
        for (int64_t i = 0; i < length; i++)
            value[i] = good(score[i * p->num_classes], largest);
        for (int64_t i = 0; i < length; i++)
            value[i] = 1.0f / (1.0f + exp_bounded(-value[i]));
        if (p->kind == FOCAL)
            for (int64_t i = 0; i < length; i++)
                value[i] = focal(value[i], alpha, eps);
    }
}

/* Numbers the classes of ground truths; returns how many there are. */
static int64_t number_classes(
    const int64_t *labels, int64_t num_gts, int64_t *classes, int64_t *number
)
{
    int64_t num = 0;
    for (int64_t j = 0; j < num_gts; j++) {
        number[j] = 0;
        while (number[j] < num && classes[number[j]] != labels[j])
            number[j]++;
        if (number[j] == num)
            classes[num++] = labels[j];
    }
    return num;
}

VECTORIZED static int add_class_costs(void *arguments, int64_t image)
{
    const class_costs *p = arguments;
    const target *to = &p->to;
    float weight = (float)to->weight, offset = (float)to->offset;
    float largest = (float)to->largest, bad[TILE] = {0};
    int64_t C = p->num_classes, M = to->num_gts[image];
    const float *scores = p->scores + image * p->score_image_stride;
    const int64_t *labels = p->labels + image * p->label_image_stride;
    if (M == 0)
        return 0;
    int64_t rows = p->kind == SOFTMAX ? C : M;
    float *values = malloc(sizeof(float) * TILE * rows);
    int64_t *number = malloc(sizeof(int64_t) * 2 * M), *classes = number + M;
    if (!values || !number) {
        free(values);
        free(number);
        return 1;
    }
    int64_t num = number_classes(labels, M, classes, number);
    for (int64_t start = 0; start < to->num_preds; start += TILE) {
        int64_t left = to->num_preds - start;
        int64_t length = left < TILE ? left : TILE;
        const float *own = scores + start * C;
        float sum[TILE];
        if (p->kind == SOFTMAX) {
            softmax(own, length, C, largest, values, sum);
            for (int64_t k = 0; k < num; k++)
                for (int64_t i = 0; i < length; i++)
                    values[classes[k] * TILE + i] /= sum[i];
        } else
            class_values(p, own, length, classes, num, values);
        for (int64_t j = 0; j < M; j++) {
            int64_t row = p->kind == SOFTMAX ? labels[j] : number[j];
            const float *restrict value = values + row * TILE;
            float *restrict cost = to->cost + image * to->cost_image_stride
                                   + j * to->num_preds + start;
            for (int64_t i = 0; i < length; i++)
                bad[i] = add(&cost[i], offset + weight * value[i], largest,
                             bad[i]);
        }
    }
    for (int64_t i = 0; i < TILE; i++)
        to->is_bad[image] |= bad[i] > 0.0f;
    free(values);
    free(number);
    return 0;
}

int match_boxes(box_costs *costs, int64_t num_threads)
{
    return for_each_image(
        costs->to.num_images, num_threads, add_box_costs, costs
    );
}

int match_classes(class_costs *costs, int64_t num_threads)
{
    return for_each_image(
        costs->to.num_images, num_threads, add_class_costs, costs
    );
}

typedef struct {
    int64_t num_images, size; /* costs of an image, one behind the other */
    float *cost;
    int64_t cost_image_stride;
    double least, unit, farthest;
} cost_scale;

/* Brings costs to a unit, (cost - least) / unit, and within -farthest to farthest;
   NaN stays. */
VECTORIZED static int scale_image(void *arguments, int64_t image)
{
    const cost_scale *p = arguments;
    float least = (float)p->least, unit = (float)p->unit;
    float farthest = (float)p->farthest;
    float *restrict cost = p->cost + image * p->cost_image_stride;
    for (int64_t i = 0; i < p->size; i++) {
        float x = (cost[i] - least) / unit;
        x = x > farthest ? farthest : x;
        cost[i] = x < -farthest ? -farthest : x;
    }
    return 0;
}

int scale_costs(cost_scale *costs, int64_t num_threads)
{
    return for_each_image(costs->num_images, num_threads, scale_image, costs);
}
