/* Vectors of floats, for loops that compilers do not vectorise by themselves. */

#ifndef MMDET_UOT_LANES_H
#define MMDET_UOT_LANES_H

#include <stdint.h>
#include <string.h>

enum { LANES = 16 };

typedef float vector __attribute__((vector_size(4 * LANES), aligned(64)));
typedef float half_vector __attribute__((vector_size(2 * LANES)));
/* As they lie in memory that is aligned as floats are. */
typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t flags __attribute__((vector_size(4 * LANES)));

/* The lower of each two. */
#define LOWER(a, b)                                                            \
    ((lanes)((((a) < (b)) & (flags)(a)) | (~((a) < (b)) & (flags)(b))))

/* Whether a flag is set. */
static inline int any(const flags *f)
{
    uint64_t of_two[LANES / 2], all = 0;
    memcpy(of_two, f, sizeof *f);
    for (int i = 0; i < LANES / 2; i++)
        all |= of_two[i];
    return all != 0;
}

/* The sum of a vector's lanes. */
static inline float sum_of_lanes(const vector *x)
{
    half_vector half[2], h;
    memcpy(half, x, sizeof *x);
    h = half[0] + half[1];
    return ((h[0] + h[4]) + (h[1] + h[5])) + ((h[2] + h[6]) + (h[3] + h[7]));
}

#endif
