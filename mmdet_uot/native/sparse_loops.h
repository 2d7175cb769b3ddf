/* The scaling algorithm on the pairs of one image that can carry mass, written
   so that it vectorises; see sparse_scaling.c for the mathematics. */

#ifndef MMDET_UOT_SPARSE_LOOPS_H
#define MMDET_UOT_SPARSE_LOOPS_H

#include "elementary_double.h"
#include "masses.h"
#include "parallel.h"
#include "relaxation.h"

#include <math.h>

/* The greatest magnitude that the logarithm of an entry of the kernel, a gain or
   a scaling may have, so that products of them are in the range of doubles. */
static const double MOST = 300.0;

/* Pairs of some columns, of which those of column j are start[j] to
   start[j + 1]. */
typedef struct {
    int64_t *start;
    double *kernel;
    int32_t *place; /* among all pairs */
    int32_t *row;   /* of what ``rows`` holds */
} pairs;

/* Predictions: what they gain, their scaling w, and sum_j k_ij v_j. */
typedef struct {
    int64_t size;
    int32_t *prediction;
    double *gain, *w, *sum;
} rows;

typedef struct {
    double power1, power2; /* tau / (tau + epsilon) */
    int64_t num_columns;   /* ground truths with mass, then the background */
    double *log_least, *log_most; /* of the mass; equal for a fixed one */
    double *v, *log_v, *t;
    double *last; /* log v of the last line 7, of relaxed iterations */
    double *most;  /* the greatest exponent of a kernel's entry */
    double *reach; /* what exp(-threshold / epsilon) is multiplied with */
    double *ratio; /* the greatest v, as a multiple of the background's */
    /* Of rows with one pair, of those with more, and of faint rows. */
    pairs single, several, faint;
    rows single_rows, several_rows;
    double *faint_gain;    /* sum of the gains of a column's faint pairs */
    double gain_of_others; /* sum of the gains of faint rows */
} equations;

/* sum^-power, times the gain. */
VECTORIZED static void scale_rows(const rows *r, double power)
{
    const double *restrict gain = r->gain, *restrict sum = r->sum;
    double *restrict w = r->w;
    if (power == 1.0)
        for (int64_t i = 0; i < r->size; i++)
            w[i] = gain[i] / sum[i];
    else
        for (int64_t i = 0; i < r->size; i++)
            w[i] = gain[i] * exp_double(-power * log_double(sum[i]));
}

/* sum_j k_ij v_j, the background's 1 v included. */
VECTORIZED static void sum_rows(
    const equations *s, double *restrict single, double *restrict several
)
{
    int64_t M = s->num_columns - 1;
    double background = s->v[M];
    for (int64_t i = 0; i < s->several_rows.size; i++)
        several[i] = background;
    for (int64_t j = 0; j < M; j++) {
        const double *restrict kernel = s->single.kernel;
        double v = s->v[j];
        for (int64_t p = s->single.start[j]; p < s->single.start[j + 1]; p++)
            single[p] = background + kernel[p] * v;
        kernel = s->several.kernel;
        const int32_t *restrict row = s->several.row;
        for (int64_t p = s->several.start[j]; p < s->several.start[j + 1]; p++)
            several[row[p]] += kernel[p] * v;
    }
}

/* sum_i k_ij w_i of every column, the background last. */
VECTORIZED static void sum_columns(const equations *s)
{
    int64_t M = s->num_columns - 1;
    const double *restrict kernel = s->single.kernel;
    const double *restrict w = s->single_rows.w;
    const double *restrict several = s->several.kernel;
    const double *restrict several_w = s->several_rows.w;
    const int32_t *restrict row = s->several.row;
    double factor = exp(-s->power1 * s->log_v[M]);
    double all = s->gain_of_others * factor;
    for (int64_t j = 0; j < M; j++) {
        double t = s->faint_gain[j] * factor;
#pragma omp simd reduction(+ : t, all)
        for (int64_t p = s->single.start[j]; p < s->single.start[j + 1]; p++) {
            t += kernel[p] * w[p];
            all += w[p];
        }
#pragma omp simd reduction(+ : t)
        for (int64_t p = s->several.start[j]; p < s->several.start[j + 1]; p++)
            t += several[p] * several_w[row[p]];
        s->t[j] = t;
    }
#pragma omp simd reduction(+ : all)
    for (int64_t i = 0; i < s->several_rows.size; i++)
        all += several_w[i];
    s->t[M] = all;
}

/* Line 7. Returns how far log v moves, infinitely far where a double cannot carry
   it; sets the mass that moves. */
VECTORIZED static double scale_columns(const equations *s, double *mass)
{
    int64_t columns = s->num_columns, in_range = 0;
    double furthest = 0.0, power = s->power2;
    const double *restrict t = s->t, *restrict log_least = s->log_least;
    const double *restrict log_most = s->log_most;
    const double *restrict most = s->most;
    double *restrict log_v = s->log_v, *restrict v = s->v;
#pragma omp simd reduction(max : furthest) reduction(+ : in_range)
    for (int64_t j = 0; j < columns; j++) {
        double log_t = log_double(t[j]);
        double low = power * (log_least[j] - log_t);
        double high = power * (log_most[j] - log_t);
        double move = clipped(low, high) - log_v[j];
        log_v[j] += move;
        furthest = fabs(move) > furthest ? fabs(move) : furthest;
        in_range += t[j] > 1e-290 && t[j] < 1e290 && fabs(log_v[j]) < MOST
                    && log_v[j] + most[j] < MOST;
    }
    double moved = 0.0;
#pragma omp simd reduction(+ : moved)
    for (int64_t j = 0; j < columns; j++) {
        double before = v[j];
        v[j] = exp_double(log_v[j]);
        moved += t[j] * fabs(v[j] - before);
    }
    *mass = moved;
    return in_range == columns ? furthest : INFINITY;
}

/* Moves v further than line 7 did. Returns how far log v goes on, infinitely far
   where a double cannot carry it. */
VECTORIZED static double extrapolate_columns(
    const equations *s, int64_t done, double relaxation
)
{
    int64_t in_range = 0;
    double furthest = extrapolate(
        s->log_v, s->last, s->num_columns, done, relaxation
    );
    const double *restrict log_v = s->log_v, *restrict most = s->most;
    double *restrict v = s->v;
    for (int64_t j = 0; j < s->num_columns; j++) {
        v[j] = exp_double(log_v[j]);
        in_range += fabs(log_v[j]) < MOST && log_v[j] + most[j] < MOST;
    }
    return in_range == s->num_columns ? furthest : INFINITY;
}

/* How much mass may flow where no pair is, divided by exp(-threshold /
   epsilon): in a column, or relative to the sum of a row; and in a faint pair,
   relative to the sum of its row. */
static void note_reach(const equations *s)
{
    int64_t M = s->num_columns - 1;
    double inverse = 1.0 / s->v[M], most = fmax(s->t[M], inverse);
    for (int64_t j = 0; j < M; j++) {
        s->reach[j] = fmax(s->reach[j], s->v[j] * most);
        s->ratio[j] = fmax(s->ratio[j], s->v[j] * inverse);
    }
}

/* sum_i |w_i sum_j k_ij v_j - w_i (the sum that w_i was made of)|, for all
   rows; leaves the new sums in the arrays. */
VECTORIZED static double moved_mass(
    const equations *s, double background_before, double *restrict single,
    double *restrict several
)
{
    const rows *one = &s->single_rows, *more = &s->several_rows;
    double moved = fabs(s->v[s->num_columns - 1] - background_before);
    moved *= s->gain_of_others * exp(-s->power1 * log(background_before));
    sum_rows(s, single, several);
#pragma omp simd reduction(+ : moved)
    for (int64_t i = 0; i < one->size; i++)
        moved += one->w[i] * fabs(single[i] - one->sum[i]);
#pragma omp simd reduction(+ : moved)
    for (int64_t i = 0; i < more->size; i++)
        moved += more->w[i] * fabs(several[i] - more->sum[i]);
    return moved;
}

#endif
