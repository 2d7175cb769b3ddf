/* exp, log and power in float, written so that loops over them vectorise. */

#ifndef MMDET_UOT_ELEMENTARY_H
#define MMDET_UOT_ELEMENTARY_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* log 2 in two parts, the first of few bits so that multiples are exact. */
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define LOG2_E 1.44269504f

/* 2^n for whole n in [-126, 127]. */
static inline float power_of_two(float n)
{
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* exp x for x in [-87, 88], to about one unit in the last place: the
   polynomial of Cephes' expf on the remainder of x by log 2. */
static inline float exp_float(float x)
{
    float n = rintf(x * LOG2_E);
    x = (x - n * LN2_HIGH) - n * LN2_LOW;
    float y = 1.9875691500e-4f;
    y = y * x + 1.3981999507e-3f;
    y = y * x + 8.3334519073e-3f;
    y = y * x + 4.1665795894e-2f;
    y = y * x + 1.6666665459e-1f;
    y = y * x + 5.0000001201e-1f;
    return (y * x * x + x + 1.0f) * power_of_two(n);
}

/* x = 2^exponent * m with m in [sqrt(1/2), sqrt(2)); returns log m, by the
   polynomial of Cephes' logf. For normal x > 0. */
static inline float log_mantissa(float x, float *exponent)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int32_t n = (int32_t)(bits - 0x3f3504f3u) >> 23;
    bits -= (uint32_t)n << 23;
    memcpy(&x, &bits, sizeof x);
    *exponent = (float)n;
    x -= 1.0f;
    float y = 7.0376836292e-2f;
    y = y * x - 1.1514610310e-1f;
    y = y * x + 1.1676998740e-1f;
    y = y * x - 1.2420140846e-1f;
    y = y * x + 1.4249322787e-1f;
    y = y * x - 1.6668057665e-1f;
    y = y * x + 2.0000714765e-1f;
    y = y * x - 2.4999993993e-1f;
    y = y * x + 3.3333331174e-1f;
    float square = x * x;
    return x + (y * x * square - 0.5f * square);
}

/* log x for normal x > 0. */
static inline float log_float(float x)
{
    float n, log_m = log_mantissa(x, &n);
    return n * LN2_HIGH + (log_m + n * LN2_LOW);
}

/* x^-p for normal x > 0 and p = p_high + p_low in [0, 1], where p_high has
   few bits, so that its product with the exponent of x is exact: its rounding
   would show in the result. */
static inline float inverse_power(float x, float p_high, float p_low)
{
    float n, log_m = log_mantissa(x, &n);
    float product = -p_high * n;
    float whole = rintf(product);
    float rest = ((product - whole) - p_low * n) * (LN2_HIGH + LN2_LOW);
    rest -= (p_high + p_low) * log_m;
    return exp_float(rest) * power_of_two(whole);
}

#endif
