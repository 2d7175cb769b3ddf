/* Pairs that a function finds, of which it is not known before how many. */

#ifndef MMDET_UOT_FOUND_PAIRS_H
#define MMDET_UOT_FOUND_PAIRS_H

#include <stdint.h>

/* An image's are sorted by ground truth, then prediction, in memory of malloc. */
typedef struct {
    int32_t ground_truth, prediction;
    float mass;
} found_pair;

#endif
