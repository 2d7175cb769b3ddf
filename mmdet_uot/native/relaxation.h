/* How far log v moves in an iteration, as a multiple of the plain step. */

#ifndef MMDET_UOT_RELAXATION_H
#define MMDET_UOT_RELAXATION_H

#include <stdint.h>

/* As ``Numbers.step`` in Python. */
static inline double step_of(
    int64_t done, int64_t num_iters, double relaxation
)
{
    return done >= 3 && done + 1 < num_iters ? relaxation : 1.0;
}

#endif
