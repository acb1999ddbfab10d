/*
 * gemm.h: the register tile all matrix products share.
 *
 *     c (rows, cols) = start + a (rows, k) b (k, cols), or c += a b
 *
 * a is read by two run-time strides (row, step), so that one tile serves a plain, a transposed and a packed
 * matrix; rows of b are contiguous. A tile of GEMM_ROWS x GEMM_VECS vectors keeps its sums in registers: 12 of the 16
 * that AVX2 has, enough to cover the latency of two FMA units, or 24 of 32; the rest holds b and the broadcast of a.
 *
 * Every element is one chain of vfma over k in rising order, from its start value: its bits do not depend on
 * where in a tile it lies, nor on the width of vectors, so tiles may be cut freely. What is added to c is summed on its
 * own first: c is read when the sums are ready, not before a tile whose rows may be waiting to be stored by the last.
 */
#ifndef NN_KERNELS_GEMM_H
#define NN_KERNELS_GEMM_H

enum {
    GEMM_MASKED = VEC_BYTES == 64, /* masked vectors cost little: a tile of one vector, not full, reads b in place */
    GEMM_ROWS = VEC_BYTES == 64 ? 12 : 6,
    GEMM_VECS = 2,
    GEMM_COLS = GEMM_VECS * VL,
    GEMM_DEPTH = 256, /* rows of a packed panel of b: 16 KB in AVX2, half the first-level cache */
    GEMM_PANEL = GEMM_DEPTH * GEMM_COLS
};

/*
 * A panel: c (m, cols). Of more columns than a vector holds, the second vector takes the last VL: some are computed twice
 * over, to the same bits. Of up to VL columns b holds GEMM_COLS readable ones, unless GEMM_MASKED.
 */
typedef struct gemm_panel {
    REAL *c;
    int64_t ldc;
    const REAL *a;
    int64_t row, step;
    const REAL *b;
    int64_t ldb;
    int64_t k;
    int64_t cols;      /* columns stored, 1 to GEMM_COLS */
    const REAL *start; /* GEMM_COLS start values of every row, NULL: zero */
    bool accumulate;   /* add `scale` times the sums to what c holds */
    REAL scale;
    int64_t next;      /* from a of one tile to that of the tile below where a is packed; 0: rows * row */
    REAL *copy;        /* room for (k, GEMM_COLS) of b, whose rows lie close: NULL where b is such already */
} gemm_panel;

/* c from a (m, k), tile by tile; the panel is used up. Defined in gemm.tmpl.c. */
void NN_SYMBOL(gemm_run_panel)(gemm_panel *t, int64_t m);
#define gemm_run_panel NN_SYMBOL(gemm_run_panel)

/* Rows of the next tile where `m` are left: `most`, the last two balanced where the last would be low. */
NN_INLINE int64_t gemm_next_rows(int64_t m, int64_t most) {
    return m > most + most / 2 || m <= most ? nn_min(m, most) : (m + 1) / 2;
}

#endif
