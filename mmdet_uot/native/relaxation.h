/* Over-relaxed iterations, see ``Numbers`` in Python. */

#ifndef MMDET_UOT_RELAXATION_H
#define MMDET_UOT_RELAXATION_H

#include <math.h>
#include <stdint.h>

/* Moves log v on from ``last``, what line 7 made of it one iteration before,
   beyond what it made of it now, which ``last`` becomes. Returns how far it goes
   on at most, if that was the last move. */
static inline double extrapolate(
    double *restrict log_v, double *restrict last, int64_t size, int64_t done,
    double relaxation
)
{
    double factor = 1.0 + (double)done / (double)(done + 3);
    double furthest = 0.0;
    factor = factor < relaxation ? factor : relaxation;
#pragma omp simd reduction(max : furthest)
    for (int64_t j = 0; j < size; j++) {
        double plain = log_v[j];
        log_v[j] = last[j] + factor * (plain - last[j]);
        double move = fabs(plain - last[j]);
        furthest = move > furthest ? move : furthest;
        last[j] = plain;
    }
    return furthest / (2.0 - relaxation);
}

#endif
