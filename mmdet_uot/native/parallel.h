/* Loops over images, on several threads and for the processor at hand. */

#ifndef MMDET_UOT_PARALLEL_H
#define MMDET_UOT_PARALLEL_H

#include <stdint.h>

/* Compiled for several instruction sets; the loader takes the best. The macro
   INSTRUCTIONS says where to stop: at none (0), AVX2 (1) or AVX-512 (2). */
#if !defined(__x86_64__) || !defined(__GLIBC__) || defined(__clang__)
#define VECTORIZED
#elif INSTRUCTIONS == 0
#define VECTORIZED
#elif INSTRUCTIONS == 1
#define VECTORIZED __attribute__((target_clones("avx2", "default")))
#else
#define VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))
#endif

/* Works on one image; returns nonzero if there is no memory for it. */
typedef int image_task(void *arguments, int64_t image);

/* Runs a task for all images, on some threads, this one included. */
int for_each_image(
    int64_t num_images, int64_t num_threads, image_task *task, void *arguments
);

#endif
