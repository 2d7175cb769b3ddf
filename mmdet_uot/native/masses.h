/* What is asked of a column: a mass, or a range of masses. */

#ifndef MMDET_UOT_MASSES_H
#define MMDET_UOT_MASSES_H

#include <math.h>
#include <stdint.h>

/* The logarithm of a mass, times the number of predictions; finite also for a
   mass of 0 or infinity, so that tau = 0 can be multiplied with it. */
static inline double log_of_mass(double mass, int64_t num_preds)
{
    double x = log(mass * (double)num_preds);
    return x < -1e300 ? -1e300 : x > 1e300 ? 1e300 : x;
}

/* min(max(1, least), most), for x = (mass / sum)^power of both, as logarithms:
   the update of a range; that of a mass for equal ones. */
static inline double clipped(double log_least, double log_most)
{
    double x = log_least > 0.0 ? log_least : 0.0;
    return x < log_most ? x : log_most;
}

#endif
