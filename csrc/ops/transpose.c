/*
 * transpose: dst (n, cols, rows) = src (n, rows, cols): channels-first to channels-last and back.
 */
#include "../kernels/transpose.h"

#include <string.h>

#include "../runtime/runtime.h"
#include "op.h"

void nn_transpose(void *dst, const void *src, nn_dtype dtype, int64_t n, int64_t rows, int64_t cols) {
    const int64_t bytes = n * rows * cols * nn_dtype_bytes(dtype);
    if (bytes == 0) return;
    if (rows == 1 || cols == 1) { /* the same elements in the same order */
        memcpy(dst, src, (size_t)bytes);
        return;
    }
    nn_transpose_args args = {.dst = dst, .src = src, .n = n, .rows = rows, .cols = cols};
    nn_parallel(nn_kernel(NN_KERNEL_transpose, dtype), &args,
                n * nn_transpose_blocks(rows) * nn_transpose_blocks(cols), 1, 2 * bytes);
}
