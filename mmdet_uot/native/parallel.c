#include "parallel.h"

#include <pthread.h>
#include <stdatomic.h>

enum { MOST_THREADS = 64 };

typedef struct {
    atomic_int_fast64_t next;
    atomic_int failed;
    int64_t num_images;
    image_task *task;
    void *arguments;
} work_list;

static void *work(void *list)
{
    work_list *todo = list;
    int64_t image;
    while ((image = atomic_fetch_add(&todo->next, 1)) < todo->num_images)
        if (todo->task(todo->arguments, image))
            atomic_store(&todo->failed, 1);
    return NULL;
}

int for_each_image(
    int64_t num_images, int64_t num_threads, image_task *task, void *arguments
)
{
    work_list todo = {
        .num_images = num_images, .task = task, .arguments = arguments
    };
    pthread_t threads[MOST_THREADS];
    int64_t started = 0;
    if (num_threads > num_images)
        num_threads = num_images;
    if (num_threads > MOST_THREADS)
        num_threads = MOST_THREADS;
    /* What cannot be started is done by this thread. */
    while (started < num_threads - 1
           && !pthread_create(&threads[started], NULL, work, &todo))
        started++;
    work(&todo);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    return atomic_load(&todo.failed);
}
