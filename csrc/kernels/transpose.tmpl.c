/*
 * transpose: dst (n, cols, rows) = src (n, rows, cols).
 *
 * begin and end count blocks of the n matrices, row-major: (matrix, block of rows, block of columns).
 *
 * A block is done in squares of VL x VL in registers. The last square of an axis overlaps the one before it,
 * which writes some elements twice and needs no masks; masks are left for matrices narrower than a vector.
 */
#include "template.h"

#include "transpose.h"
#include "vtranspose.h"

/* A block: `rows` x `cols` of src become `cols` x `rows` of dst; both may be more than the block's size. */
typedef struct block {
    REAL *dst;
    const REAL *src;
    int64_t dst_row, src_row; /* elements from one row to the next */
    int64_t rows, cols;
    const REAL *src_end; /* of the whole of src */
    REAL *dst_end;       /* of this block; meaningful where its rows are whole rows of dst */
} block;

NN_INLINE void square(REAL *dst, const REAL *src, const block *b) {
    vec t[VL];
    NN_UNROLL(16) for (int i = 0; i < VL; i++) t[i] = vload(src + i * b->src_row);
    vtranspose(t);
    NN_UNROLL(16) for (int j = 0; j < VL; j++) vstore(dst + j * b->dst_row, t[j]);
}

/*
 * A rectangle of rows x cols, each at most VL. Where the rows of dst are shorter than a vector, each store
 * runs over into the next row, whose own store comes later; only the last rows of the block need a mask.
 */
static void rectangle(REAL *dst, const REAL *src, const block *b, int64_t rows, int64_t cols) {
    vec t[VL];
    for (int i = 0; i < VL; i++) {
        const REAL *p = src + i * b->src_row;
        if (i >= rows) t[i] = vset(0);
        else if (b->src_end - p >= VL) t[i] = vload(p);
        else t[i] = vload_some(p, cols);
    }
    vtranspose(t);
    const bool run_over = rows == b->dst_row;
    for (int j = 0; j < cols; j++) {
        REAL *p = dst + j * b->dst_row;
        if (rows == VL || (run_over && b->dst_end - p >= VL)) vstore(p, t[j]);
        else vstore_some(p, t[j], rows);
    }
}

static void transpose_block(const block *b) {
    const int64_t rows = nn_min(b->rows, VL), cols = nn_min(b->cols, VL);
    for (int64_t j = 0; j < b->cols; j += VL) {
        const int64_t j0 = nn_min(j, b->cols - cols);
        for (int64_t i = 0; i < b->rows; i += VL) {
            const int64_t i0 = nn_min(i, b->rows - rows);
            REAL *dst = b->dst + j0 * b->dst_row + i0;
            const REAL *src = b->src + i0 * b->src_row + j0;
            if (rows == VL && cols == VL) square(dst, src, b);
            else rectangle(dst, src, b, rows, cols);
        }
    }
}

NN_DEFINE_KERNEL(transpose) {
    const nn_transpose_args *a = args;
    const int64_t down = nn_transpose_blocks(a->rows), across = nn_transpose_blocks(a->cols);
    const int64_t matrix = a->rows * a->cols;
    for (int64_t i = begin; i < end; i++) {
        const int64_t image = i / (down * across), rest = i % (down * across);
        const int64_t r = rest / across, c = rest % across;
        const int64_t row = r * NN_TRANSPOSE_BLOCK, col = c * NN_TRANSPOSE_BLOCK;
        const REAL *src = (const REAL *)a->src + image * matrix;
        REAL *dst = (REAL *)a->dst + image * matrix;
        const int64_t rows = r == down - 1 ? a->rows - row : NN_TRANSPOSE_BLOCK;
        const int64_t cols = c == across - 1 ? a->cols - col : NN_TRANSPOSE_BLOCK;
        const block b = {.dst = dst + col * a->rows + row, .src = src + row * a->cols + col,
                         .dst_row = a->rows, .src_row = a->cols, .rows = rows, .cols = cols,
                         .src_end = (const REAL *)a->src + a->n * matrix,
                         .dst_end = dst + (col + cols) * a->rows};
        transpose_block(&b);
    }
}
