/* Vectors of floats, for loops that compilers do not vectorise by themselves. */

#ifndef MMDET_UOT_LANES_H
#define MMDET_UOT_LANES_H

#include <stdint.h>
#include <string.h>

enum { LANES = 16 };

typedef float vector __attribute__((vector_size(4 * LANES), aligned(64)));
typedef float half_vector __attribute__((vector_size(2 * LANES)));
typedef double doubles __attribute__((vector_size(4 * LANES)));
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

/* The sum of a vector's lanes, in double. */
static inline double sum_of_lanes(const vector *x)
{
    half_vector half[2];
    memcpy(half, x, sizeof *x);
    doubles s = __builtin_convertvector(half[0], doubles)
                + __builtin_convertvector(half[1], doubles);
    return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

#endif
