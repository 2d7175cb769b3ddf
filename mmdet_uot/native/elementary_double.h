/* exp and log for the range of doubles, to about 1e-8, by the polynomials of
   Cephes' expf and logf, written so that loops over them vectorise. */

#ifndef MMDET_UOT_ELEMENTARY_DOUBLE_H
#define MMDET_UOT_ELEMENTARY_DOUBLE_H

#include <stdint.h>
#include <string.h>

/* Added to a small whole number it leaves that number in the lowest bits. */
#define WHOLE 6755399441055744.0

static const double LN2 = 0.693147180559945309;

/* exp x for x in [-700, 700]. */
static inline double exp_double(double x)
{
    double shifted = x * 1.44269504088896341 + WHOLE;
    double r = x - (shifted - WHOLE) * LN2, power;
    int64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (int64_t)((uint64_t)(bits + 1023) << 52);
    memcpy(&power, &bits, sizeof power);
    double y = 1.9875691500e-4;
    y = y * r + 1.3981999507e-3;
    y = y * r + 8.3334519073e-3;
    y = y * r + 4.1665795894e-2;
    y = y * r + 1.6666665459e-1;
    y = y * r + 5.0000001201e-1;
    return (y * r * r + r + 1.0) * power;
}

/* log x for normal x > 0. */
static inline double log_double(double x)
{
    uint64_t bits, n_bits;
    double n, m;
    memcpy(&bits, &x, sizeof bits);
    /* The exponent, biased so that m lies in [sqrt(1/2), sqrt(2)). */
    n_bits = (bits - 0x3fe6a09e667f3bcdull + (1023ull << 52)) >> 52;
    bits -= (n_bits - 1023) << 52;
    memcpy(&m, &bits, sizeof m);
    n_bits += 0x4338000000000000ull;
    memcpy(&n, &n_bits, sizeof n);
    n -= WHOLE + 1023.0;
    m -= 1.0;
    double y = 7.0376836292e-2;
    y = y * m - 1.1514610310e-1;
    y = y * m + 1.1676998740e-1;
    y = y * m - 1.2420140846e-1;
    y = y * m + 1.4249322787e-1;
    y = y * m - 1.6668057665e-1;
    y = y * m + 2.0000714765e-1;
    y = y * m - 2.4999993993e-1;
    y = y * m + 3.3333331174e-1;
    double square = m * m;
    return n * LN2 + (m + (y * m * square - 0.5 * square));
}

#endif
