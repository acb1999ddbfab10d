/*
 * Transpose: every size around the vector widths and the block, every ISA and dtype, on heap blocks of the
 * exact size (a sanitizer sees one element too many).
 */
#include <stdio.h>
#include <stdlib.h>

#include "nncore.h"

static int failures;

static void check(nn_dtype dtype, int64_t n, int64_t rows, int64_t cols) {
    const int64_t count = n * rows * cols, bytes = dtype == NN_FLOAT32 ? 4 : 8;
    void *src = malloc((size_t)(count * bytes)), *dst = malloc((size_t)(count * bytes));
    for (int64_t i = 0; i < count; i++) {
        if (dtype == NN_FLOAT32) ((float *)src)[i] = (float)i;
        else ((double *)src)[i] = (double)i;
    }
    nn_transpose(dst, src, dtype, n, rows, cols);
    for (int64_t m = 0; m < n; m++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++) {
                const int64_t from = (m * rows + i) * cols + j, to = (m * cols + j) * rows + i;
                const double got = dtype == NN_FLOAT32 ? ((float *)dst)[to] : ((double *)dst)[to];
                if (got == (double)from) continue;
                printf("%s, %d bytes, n %d, %d x %d: element (%d, %d) is %g\n", nn_isa_name(nn_isa_active()),
                       (int)bytes, (int)n, (int)rows, (int)cols, (int)i, (int)j, got);
                failures++;
            }
    free(src);
    free(dst);
}

int main(void) {
    static const int64_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 130};
    const int count = (int)(sizeof sizes / sizeof sizes[0]);
    for (int isa = 0; isa < NN_ISAS; isa++) {
        if (!nn_isa_available((nn_isa)isa)) continue;
        nn_isa_select(nn_isa_name((nn_isa)isa), NULL);
        for (int dtype = 0; dtype < NN_DTYPES; dtype++)
            for (int i = 0; i < count; i++)
                for (int j = 0; j < count; j++) check((nn_dtype)dtype, 2, sizes[i], sizes[j]);
    }
    return failures != 0;
}
