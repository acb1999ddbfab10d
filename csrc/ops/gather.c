/*
 * gather: the rows of a batch from wherever they lie in a data set; not an operation, since nothing flows back.
 */
#include "../kernels/batch.h"
#include "../runtime/runtime.h"
#include "op.h"

void nn_gather(void *rows, const nn_rows *source, const void *scaled, const int64_t *order, nn_dtype dtype, int64_t n,
               int64_t channels, int64_t pixels) {
    nn_gather_args args = {.rows = rows, .source = source->data, .order = order,
                           .scaled = source->bytes ? scaled : NULL, .channels = channels, .pixels = pixels,
                           .channels_first = source->channels_first};
    const int64_t size = channels * pixels;
    if (n > 0 && size > 0) nn_parallel(nn_kernel(NN_KERNEL_gather, dtype), &args, n, 4096 / size + 1, n * size * 8);
}
