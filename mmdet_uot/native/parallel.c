#include "parallel.h"

int for_each_image(
    int64_t num_images, int64_t num_threads, image_task *task, void *arguments
)
{
    int failed = 0;
    /* The runtime is the one that torch has loaded: its threads, which wait
       for work in a loop, would otherwise stand in the way of ours. */
#pragma omp parallel for schedule(dynamic) num_threads(num_threads) \
    reduction(| : failed)
    for (int64_t image = 0; image < num_images; image++)
        failed |= task(arguments, image);
    return failed;
}
