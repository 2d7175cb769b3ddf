/* Collects the pairs that were found. */

#include "found_pairs.h"

#include <stdlib.h>

typedef struct {
    int64_t num_images;
    const int64_t *num_pairs; /* (images,) */
    void **found;             /* (images,) */
    int64_t *image, *prediction, *ground_truth; /* (pairs,) */
    float *mass;                                /* (pairs,) */
} collection;

/* Copies the pairs of all images, one after the other, and frees them. */
int collect_pairs(collection *to, int64_t num_threads)
{
    int64_t n = 0;
    (void)num_threads;
    for (int64_t image = 0; image < to->num_images; image++) {
        const found_pair *found = to->found[image];
        for (int64_t k = 0; found && k < to->num_pairs[image]; k++, n++) {
            to->image[n] = image;
            to->prediction[n] = found[k].prediction;
            to->ground_truth[n] = found[k].ground_truth;
            to->mass[n] = found[k].mass;
        }
        free(to->found[image]);
        to->found[image] = NULL;
    }
    return 0;
}
