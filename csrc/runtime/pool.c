/*
 * pool.c: the thread pool. First form: everything on the calling thread.
 */
#include "runtime.h"

void nn_parallel(nn_kernel_fn *kernel, const void *args, int64_t total, int64_t piece, int64_t work) {
    (void)work;
    for (int64_t begin = 0; begin < total; begin += piece)
        kernel(args, begin, begin + piece < total ? begin + piece : total);
}
int nn_threads_get(void) { return 1; }
nn_status nn_threads_set(int threads, nn_error *error) { (void)threads; (void)error; return NN_OK; }
int nn_threads_default(void) { return 1; }
void nn_threads_threshold_set(int64_t work) { (void)work; }
int64_t nn_threads_threshold_get(void) { return 0; }
int64_t nn_threads_pieces_by_workers(void) { return 0; }
